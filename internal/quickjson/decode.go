// Package quickjson reads the JSON of our own documents, of which a large case has
// ten thousand, by the library that encoding/json/v2 comes from: some five times as
// fast as encoding/json. Measured on a case's domains it is faster than a reader of
// our own was.
//
// What lives here: that choice, and what holds both to one meaning. What must not:
// a reader or a format of our own, an error of its own: what the library refuses
// encoding/json reads, and words the error.
package quickjson

import (
	"encoding/json"
	"reflect"

	quick "github.com/go-json-experiment/json"
	v1 "github.com/go-json-experiment/json/v1"
)

// asBefore are the options under which the library takes what it takes as
// encoding/json does. Where it is stricter (a name twice, invalid UTF-8) it
// refuses, and encoding/json is asked.
var asBefore = quick.JoinOptions(
	quick.MatchCaseInsensitiveNames(true),
	v1.FormatByteArrayAsArray(true),
	v1.FormatDurationAsNano(true),
	v1.UnmarshalArrayFromAnyLength(true),
	v1.ParseBytesWithLooseRFC4648(true),
	v1.StringifyWithLegacySemantics(true),
)

// Unmarshal is [json.Unmarshal] for a v that points to a zero value.
func Unmarshal(data []byte, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return json.Unmarshal(data, v)
	}
	if quick.Unmarshal(data, v, asBefore) == nil {
		return nil
	}
	p.Elem().SetZero()
	return json.Unmarshal(data, v)
}

// Strict reads data into v, which points to a zero value, where it holds no field
// that v doesn't know. Where it gives false v is zero still, and what is wrong with
// data, if anything, [json.Decoder.DisallowUnknownFields] says.
func Strict(data []byte, v any) bool {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return false
	}
	if quick.Unmarshal(data, v, asBefore, quick.RejectUnknownMembers(true)) == nil {
		return true
	}
	p.Elem().SetZero()
	return false
}
