package evidence

import (
	"context"
	"io"

	"github.com/impound/impound"
)

// Problem is one fault, or one thing worth knowing, and where it is.
type Problem struct {
	File  string `json:"file"`  // in the folder
	Entry int64  `json:"entry"` // index, -1 when it is no entry's
	Msg   string `json:"msg"`
}

// OpenIntent is an act that was begun and whose result is not in the log.
type OpenIntent struct {
	Index int64  `json:"index"`
	ID    string `json:"id"`
	What  string `json:"what"`
}

// Report is what a verification found.
type Report struct {
	Origin    string       `json:"origin"`
	Key       string       `json:"key"` // in note's spelling: compare it with one that you trust
	Entries   int64        `json:"entries"`
	Artefacts int          `json:"artefacts"`
	Bytes     int64        `json:"bytes"` // of entries and artefacts
	Root      string       `json:"root"`  // base64
	Open      []OpenIntent `json:"open"`  // information
	Notes     []Problem    `json:"notes"` // information
	Problems  []Problem    `json:"problems"`
}

// OK says whether nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// VerifyOptions say what else must hold.
type VerifyOptions struct {
	Key   string // the key that it must be, in note's spelling; "" = the folder's own
	Since []byte // an older checkpoint of this log, that this one must continue
}

var errSoon = impound.Errorf(impound.KindInternal, "not yet built")

// Verify proves the folder from itself alone.
func Verify(dir string) (Report, error) { return VerifyWith(dir, VerifyOptions{}) }

// VerifyWith is Verify with more that must hold.
func VerifyWith(dir string, o VerifyOptions) (Report, error) { return Report{}, errSoon }

// Export writes a bundle of a case as a zip file.
func (l *Log) Export(ctx context.Context, w io.Writer, caseID string) error { return errSoon }

// VerifyBundle proves a bundle.
func VerifyBundle(path string) (Report, error) { return Report{}, errSoon }
