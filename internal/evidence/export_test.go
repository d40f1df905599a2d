package evidence

// SetHook sets what is called at each step of a write.
func (l *Log) SetHook(f func(step string) error) { l.hook = f }

// Steps are the steps, in order. The first is of captures alone.
var Steps = []string{"artefact staged", "artefacts linked", "entries written", "hashes written", "synced", "checkpoint in place"}

var (
	ParseVKeyText = func(s string) error { _, err := parseVKey(s); return err }
	ParseProof    = func(b []byte) error { _, _, err := parseProof(b); return err }
	VerifyZip     = verifyBundle
)

// ParseCheckpoint reads a checkpoint by a key in note's spelling.
func ParseCheckpoint(b []byte, vkey string) (Head, error) {
	v, err := parseVKey(vkey)
	if err != nil {
		return Head{}, err
	}
	return parseHead(b, v)
}

// SignCheckpoint signs what a checkpoint says with the log's own key.
func (l *Log) SignCheckpoint(h Head) []byte {
	b, err := signHead(l.key, h)
	if err != nil {
		panic(err)
	}
	return b
}

// Dir gives the folder.
func (l *Log) Dir() string { return l.dir }

// WithHook gives o with what is called at each step of a write, from Open on.
func WithHook(o Options, f func(step string) error) Options {
	o.hook = f
	return o
}

// IndexSteps are the steps of writing a part of the index.
var IndexSteps = []string{"segment written", "segment in place"}
