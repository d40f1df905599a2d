package evidence

import "github.com/impound/impound"

// Artefacts gives what each entry that names hash says of it, in the order of the
// log, each proven: the same bytes may have been captured for several cases, under
// several markings.
func (l *Log) Artefacts(hash string) ([]impound.Artefact, error) {
	l.mu.Lock()
	err := l.refresh()
	var list []int64
	if err == nil {
		list, err = l.lookUp(selector{'a', hash})
	}
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var out []impound.Artefact
	for _, i := range list {
		e, err := l.entry(i)
		if err != nil {
			return nil, err
		}
		if e.Artefact != nil && e.Artefact.Hash == hash {
			out = append(out, *e.Artefact)
		}
	}
	return out, nil
}
