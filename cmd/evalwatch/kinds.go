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

// languages.txt is text in the public domain, a language a line: Candide; Faust
// and other German verse and the Basic Law; Dante, Leopardi and the Italian
// constitution; the Declaration of Human Rights, Calderon and Manrique.
//
//go:embed languages.txt
var languagesText string

// names.txt.gz holds 19,328 names of people: see names.LICENSE.
//
//go:embed names.txt.gz
var namesGz []byte

func wordsOf(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' })
}

// trainKinds learns kinds of rows of words from new registrations, those before
// until alone unless it is empty.
func trainKinds(nrd [][]string, until string) ([]byte, error) {
	english, err := packed(englishGz)
	if err != nil {
		return nil, err
	}
	names, err := packed(namesGz)
	if err != nil {
		return nil, err
	}
	t := profile.Texts{English: english, Latin: wordsOf(latinText), Names: names}
	for l := range strings.Lines(languagesText) {
		t.Other = append(t.Other, wordsOf(l))
	}
	return profile.TrainKinds(t, labels(nrd, until)), nil
}
