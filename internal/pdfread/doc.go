// Package pdfread reads PDF files that strangers made: their text, the links in
// them, their images, whether they are encrypted, and what they would run.
//
// It finds objects by looking for them, not by the file's own table, since
// hostile files lie about it; everything is bounded (octets unpacked, objects,
// depth, pages), nothing is executed, fetched or decrypted. What must not live
// here: an opinion about what was found, or I/O.
package pdfread

// Limits of one file.
const (
	MaxSize     = 64 << 20 // octets of the file
	maxUnpacked = 96 << 20 // octets of all streams
	maxStream   = 24 << 20 // octets of one
	maxObjects  = 300_000
	maxDepth    = 48
	maxPages    = 5000
	maxText     = 16 << 20 // octets of text
	maxLinks    = 10_000
	maxImages   = 200
	maxOps      = 20_000_000 // of content
)

// File is what a PDF holds.
type File struct {
	Encrypted bool     // nothing inside was read then
	Pages     int      // that were read
	Text      string   // paragraphs, a line each; pages end with a form feed
	Links     []string // targets of URI actions, each once
	Active    []string // "JavaScript", "Launch", "EmbeddedFile", ... that the file holds
	Images    []Image
	Problems  []string // what could not be read, and why
	Unmapped  int      // characters that the file gives no meaning for
}

// Image is a picture of the file: JPEG octets, or grey samples, 8 bits each.
type Image struct {
	Width, Height int
	JPEG          []byte
	Grey          []byte
}
