package main

import (
	_ "embed"
	"strings"

	"github.com/impound/impound/internal/watch/profile"
)

// latin.txt is Latin text that is in the public domain: from Caesar, Cicero,
// Vergil, Ovid, Tacitus, Seneca, the Vulgate, Augustine, Thomas, Justinian, the
// Magna Carta, Descartes and Newton. None of it is what a known algorithm uses.
//
//go:embed latin.txt
var latinText string

func latin() []string {
	return strings.FieldsFunc(strings.ToLower(latinText), func(r rune) bool { return r < 'a' || r > 'z' })
}

// trainKinds learns kinds of rows of words from new registrations, those before
// until alone unless it is empty.
func trainKinds(nrd [][]string, until string) ([]byte, error) {
	list, err := english()
	if err != nil {
		return nil, err
	}
	return profile.TrainKinds(list, latin(), labels(nrd, until)), nil
}
