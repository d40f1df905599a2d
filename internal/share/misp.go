package share

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
)

type mispTag struct {
	Name   string `json:"name"`
	Colour string `json:"colour"`
}

type mispOrg struct {
	Name string `json:"name"`
	UUID string `json:"uuid"`
}

type mispAttribute struct {
	UUID      string `json:"uuid"`
	Type      string `json:"type"`
	Category  string `json:"category"`
	Value     string `json:"value"`
	ToIDs     bool   `json:"to_ids"`
	Comment   string `json:"comment"`
	Timestamp string `json:"timestamp"`
	FirstSeen string `json:"first_seen,omitempty"`
	DisableCo bool   `json:"disable_correlation"`
	Deleted   bool   `json:"deleted"`
}

type mispEvent struct {
	UUID        string          `json:"uuid"`
	Info        string          `json:"info"`
	Date        string          `json:"date"`
	Timestamp   string          `json:"timestamp"`
	PublishedAt string          `json:"publish_timestamp"`
	Published   bool            `json:"published"`
	Analysis    string          `json:"analysis"`        // 2: complete
	ThreatLevel string          `json:"threat_level_id"` // 1: high
	Orgc        mispOrg         `json:"Orgc"`
	Tag         []mispTag       `json:"Tag"`
	Attribute   []mispAttribute `json:"Attribute"`
}

type mispManifest struct {
	Info        string    `json:"info"`
	Orgc        mispOrg   `json:"Orgc"`
	Analysis    string    `json:"analysis"`
	Tag         []mispTag `json:"Tag"`
	Timestamp   string    `json:"timestamp"`
	Date        string    `json:"date"`
	ThreatLevel string    `json:"threat_level_id"`
}

type file struct {
	name string
	data []byte
}

var tlpColours = map[impound.TLP]string{impound.TLPClear: "#ffffff", impound.TLPGreen: "#33ff00", impound.TLPAmber: "#ffc000", impound.TLPAmberStrict: "#ffc000", impound.TLPRed: "#ff2b2b"}

// feed makes the files of a feed: an event for each case and TLP level, so that
// an event's marking holds for all of it and a better cleared partner sees more
// events, not other ones. previous gives the event that was published last under a UUID;
// a changed event gets a later timestamp than that one, since MISP takes an
// event again only then.
func feed(items []Item, o Options, previous func(uuid string) (mispEvent, bool)) ([]file, error) {
	type key struct {
		caseID string
		tlp    impound.TLP
	}
	groups := map[key][]Item{}
	for _, it := range items {
		k := key{it.Case, it.TLP}
		groups[k] = append(groups[k], it)
	}
	keys := make([]key, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.caseID, b.caseID), rank(a.tlp)-rank(b.tlp)) })
	manifest := map[string]mispManifest{}
	var hashes strings.Builder
	var files []file
	org := mispOrg{o.org(), o.id("misp-org", "")}
	for _, k := range keys {
		e := mispEvent{UUID: o.id("misp-event", k.caseID+"\x00"+string(k.tlp)), Info: "Phishing names taken over by court order or agreement, " + o.Ref(k.caseID), Published: true, Analysis: "2", ThreatLevel: "1", Orgc: org,
			Tag: []mispTag{{"tlp:" + string(k.tlp), tlpColours[k.tlp]}, {`rsit:fraud="phishing"`, "#3a7300"}, {`phishing:action="take-down"`, "#5b0047"}, {`course-of-action:active="disrupt"`, "#00305b"}}}
		var newest, oldest time.Time
		seen := map[string]bool{}
		sinkholed := false
		for _, it := range groups[k] {
			if seen[it.Name.String()] {
				continue
			}
			seen[it.Name.String()] = true
			at := it.Updated
			if at.IsZero() {
				at = it.FirstSeen
			}
			a := mispAttribute{UUID: o.id("misp-attribute", k.caseID+"\x00"+string(k.tlp)+"\x00"+it.Name.String()), Type: "domain", Category: "Network activity", Value: it.Name.String(), ToIDs: true,
				Comment: "state: " + string(it.State), Timestamp: unix(at)}
			if !it.FirstSeen.IsZero() {
				a.FirstSeen = it.FirstSeen.UTC().Format("2006-01-02T15:04:05.000000+00:00")
			}
			if at.After(newest) {
				newest = at
			}
			if f := it.FirstSeen; !f.IsZero() && (oldest.IsZero() || f.Before(oldest)) {
				oldest = f
			}
			sinkholed = sinkholed || it.State == impound.StateSinkholed
			e.Attribute = append(e.Attribute, a)
			h := md5.Sum([]byte(it.Name.String())) // MISP's own choice, for looking up only
			fmt.Fprintf(&hashes, "%s,%s\n", hex.EncodeToString(h[:]), e.UUID)
		}
		if sinkholed {
			e.Tag = append(e.Tag, mispTag{`domain-abuse:domain-access-method="sinkhole"`, "#0b5fa5"})
		}
		if oldest.IsZero() {
			oldest = newest
		}
		if newest.IsZero() {
			newest, oldest = o.now(), o.now()
		}
		e.Date = oldest.UTC().Format("2006-01-02")
		e.Timestamp = unix(newest)
		if previous != nil {
			if old, ok := previous(e.UUID); ok {
				if sameEvent(old, e) {
					e.Timestamp = old.Timestamp
				} else if was, err := strconv.ParseInt(old.Timestamp, 10, 64); err == nil {
					e.Timestamp = strconv.FormatInt(max(newest.Unix(), was+1), 10)
				}
			}
		}
		e.PublishedAt = e.Timestamp
		b, err := json.MarshalIndent(map[string]mispEvent{"Event": e}, "", "  ")
		if err != nil {
			return nil, err
		}
		files = append(files, file{e.UUID + ".json", append(b, '\n')})
		manifest[e.UUID] = mispManifest{e.Info, e.Orgc, e.Analysis, e.Tag, e.Timestamp, e.Date, e.ThreatLevel}
	}
	b, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(files, file{"hashes.csv", []byte(hashes.String())}, file{"manifest.json", append(b, '\n')}), nil
}

func sameEvent(a, b mispEvent) bool {
	a.Timestamp, a.PublishedAt, b.Timestamp, b.PublishedAt = "", "", "", ""
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

func unix(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// WriteFeed brings the MISP feed in dir up to date: events first, then hashes,
// the manifest last, each file whole; then events that are no longer shared are
// deleted. A web server may serve dir all along. One process at a time writes a
// folder, and one folder serves one clearance.
func WriteFeed(dir string, clearance impound.TLP, items []Item, o Options) (Count, error) {
	if !clearance.Valid() {
		return Count{}, impound.Errorf(impound.KindInvalid, "%q is no TLP level", string(clearance)).At("clearance").WithCure("write clear, green, amber, amber+strict or red")
	}
	chosen, n := Choose(items, clearance, o)
	fail := func(err error) (Count, error) {
		return n, impound.Errorf(impound.KindUnavailable, "couldn't write the feed: %w", err).At(dir).WithCure("check the disk and the rights of the folder")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	files, err := feed(chosen, o, func(uuid string) (mispEvent, bool) {
		var old map[string]mispEvent
		b, err := os.ReadFile(filepath.Join(dir, uuid+".json"))
		if err != nil || json.Unmarshal(b, &old) != nil {
			return mispEvent{}, false
		}
		e, ok := old["Event"]
		return e, ok
	})
	if err != nil {
		return fail(err)
	}
	keep := map[string]bool{}
	for _, f := range files {
		keep[f.name] = true
		path := filepath.Join(dir, f.name)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, f.data) {
			continue // an unchanged file keeps its time: web servers answer 304
		}
		if err := replace(path, f.data); err != nil {
			return fail(err)
		}
	}
	// What is no longer shared, a name whose level was raised say, must not lie
	// around.
	old, err := filepath.Glob(filepath.Join(dir, "????????-????-????-????-????????????.json"))
	if err != nil {
		return fail(err)
	}
	for _, path := range old {
		if !keep[filepath.Base(path)] {
			if err := os.Remove(path); err != nil {
				return fail(err)
			}
		}
	}
	return n, nil
}

func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
