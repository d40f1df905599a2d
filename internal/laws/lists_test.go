package laws

import (
	"testing"
	"time"

	"github.com/impound/impound"
)

// A server that runs keeps a name out as soon as another process brought a list
// that says it is shared: nobody has to start it again.
func TestAServerTakesUpNewLists(t *testing.T) {
	w := newWorld(t)
	s := w.serve(t)
	w.file(t, s, terms{id: liveOrder, names: []impound.Name{spare}, from: time.Now().Add(-time.Minute), until: time.Now().Add(time.Hour)})
	blocked := func() bool {
		ms, err := s.Casework.Mandates(t.Context())
		must(t, err)
		bl, err := s.Casework.Blocked(t.Context(), ms[0])
		must(t, err)
		return len(bl[spare]) > 0
	}
	if blocked() {
		t.Fatal("it is kept out to begin with")
	}
	w.did(t, "lists", "update", "--from", w.text(t, spare.String()+"\n"), "--name", "dynamic-dns.txt", "--as", "ada")
	eventually(t, "the server to take the list up", blocked)
	// And what it did not know is taken back when the list is put right.
	w.did(t, "lists", "update", "--from", w.text(t, "elsewhere.example\n"), "--name", "dynamic-dns.txt", "--as", "ada")
	eventually(t, "the server to take the next list up", func() bool { return !blocked() })
}
