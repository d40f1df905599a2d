package app

import "testing"

// A TLD whose RDAP gives nothing is not asked again and again for each name; as
// soon as it answers, it is.
func TestRDAPThatIsGone(t *testing.T) {
	s := &System{}
	for i := range goneAfter {
		if !s.rdapAnswers("example", false) {
			t.Fatalf("given up after %d names", i)
		}
		s.rdapAnswers("example", false, true)
	}
	if s.rdapAnswers("example", false) || !s.rdapAnswers("test", false) {
		t.Error("it is asked again, or another is not")
	}
	if !s.rdapAnswers("example", true) || !s.rdapAnswers("example", false) {
		t.Error("it answered, and is not asked again")
	}
}
