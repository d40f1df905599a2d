package impound

import (
	"regexp"
	"strings"
	"testing"
)

func TestROID(t *testing.T) {
	rule := regexp.MustCompile(`^[\p{L}\p{N}_]{1,80}-[\p{L}\p{N}_]{1,8}$`) // RFC 5730's roidType
	for s, want := range map[string]bool{
		"D123456-LRMS": true, "D_1-X": true, "é٣-Ü": true, strings.Repeat("a", 80) + "-12345678": true,
		"": false, "-": false, "D1-": false, "-X": false, "D1X": false, "D1-X-Y": false, "D 1-X": false, "D1-X\n": false, "D1-\xff": false, "D\u0301-X": false,
		strings.Repeat("a", 81) + "-X": false, "D1-123456789": false,
	} {
		if got := isROID(s); got != want || got != rule.MatchString(s) {
			t.Errorf("%q: isROID says %v, want %v, the rule says %v", s, got, want, rule.MatchString(s))
		}
	}
}
