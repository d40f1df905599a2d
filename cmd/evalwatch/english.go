package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/impound/impound/internal/watch/profile"
)

// english.txt.gz holds common English words, the commonest first: the 24,576
// first ones of the npm package popular-english-words 1.0.2 by Tim Koop (ISC,
// see english.LICENSE), which counted the English Wikipedia of 2021.
//
//go:embed english.txt.gz
var englishGz []byte

// packed gives the words of a list.
func packed(gz []byte) ([]string, error) {
	z, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		return nil, fmt.Errorf("couldn't read a list of words: %w", err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("couldn't read a list of words: %w", err)
	}
	return strings.Fields(string(b)), nil
}

// trainWords learns words from new registrations, those before until alone
// unless it is empty.
func trainWords(nrd [][]string, until string) ([]byte, error) {
	list, err := packed(englishGz)
	if err != nil {
		return nil, err
	}
	return profile.TrainWords(list, labels(nrd, until)), nil
}

// labels gives the first labels of new registrations, those before until alone
// unless it is empty.
func labels(nrd [][]string, until string) iter.Seq[[]byte] {
	return func(yield func(label []byte) bool) {
		for _, r := range nrd {
			l, _, _ := strings.Cut(r[1], ".")
			if (until == "" || r[0] < until) && !strings.HasPrefix(l, "xn--") && !yield([]byte(l)) {
				return
			}
		}
	}
}
