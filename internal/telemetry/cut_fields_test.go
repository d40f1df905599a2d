package telemetry

import (
	"testing"

	"github.com/impound/impound"
)

// What a hello and an opcode tell is kept from level contact on, the hashes of
// mailboxes at level lure only.
func TestCutByLevel(t *testing.T) {
	e := impound.Event{JA3: "a", TLS: "1.3,1.2", Opcode: 4, SenderHash: "b", RcptHash: "c"}
	for _, tt := range []struct {
		level         impound.CaptureLevel
		hello, hashes bool
	}{{impound.CaptureCount, false, false}, {impound.CaptureContact, true, false}, {impound.CaptureLure, true, true}, {"?", false, false}} {
		e.Capture = tt.level
		got := Cut(e)
		if hello := got.JA3 == "a" && got.TLS == "1.3,1.2" && got.Opcode == 4; hello != tt.hello || !hello && (got.JA3+got.TLS != "" || got.Opcode != 0) {
			t.Errorf("%s: JA3, TLS, opcode: %+v", tt.level, got)
		}
		if hashes := got.SenderHash == "b" && got.RcptHash == "c"; hashes != tt.hashes || !hashes && got.SenderHash+got.RcptHash != "" {
			t.Errorf("%s: hashes: %+v", tt.level, got)
		}
	}
}
