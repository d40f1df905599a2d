package notify_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/notify"
	"github.com/impound/impound/internal/peertest"
)

func xarfName(t *testing.T) []byte {
	t.Helper()
	b, err := notify.XARFName(impound.MustName("outlook-verify.net"), time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), "L-0123456789abcdef", "The domain name outlook-verify[.]net is the subject of a court order.", reporter)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestXARFName(t *testing.T) {
	b := xarfName(t)
	if !bytes.Equal(b, xarfName(t)) {
		t.Error("the same report twice differs: a desk would count it twice")
	}
	var r map[string]any
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"source_identifier": "outlook-verify.net", "category": "reputation", "type": "threat_intelligence", "threat_type": "spear_phishing_domain", "timestamp": "2026-11-21T10:00:00.000Z"} {
		if r[k] != want {
			t.Errorf("%s: %v, want %v", k, r[k], want)
		}
	}
	for _, k := range []string{"url", "source_port"} {
		if _, ok := r[k]; ok {
			t.Errorf("it claims to know %s", k)
		}
	}
}

// xarfSchemas gives the folder of XARF's v4 schemas: that of IMPOUND_XARF_SCHEMAS,
// or one beside the project's own. They are others' text, and not kept here.
func xarfSchemas(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("IMPOUND_XARF_SCHEMAS")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for root != "/" {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(filepath.Dir(root), "shared/data/schemas/xarf/v4")
	}
	_, err := os.Stat(filepath.Join(dir, "xarf-v4-master.json"))
	peertest.NeedThat(t, "XARF's schemas", err == nil, "set IMPOUND_XARF_SCHEMAS to the folder of XARF's v4 schemas (github.com/xarf/xarf-spec)")
	return dir
}

// TestXARFNameBySchema holds a report against the schemas that XARF publishes.
func TestXARFNameBySchema(t *testing.T) {
	dir := xarfSchemas(t)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	types, err := filepath.Glob(filepath.Join(dir, "types", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, types...) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		id, _ := doc.(map[string]any)["$id"].(string)
		if err := c.AddResource(id, doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	check := func(b []byte) error {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"https://xarf.org/schemas/v4/xarf-v4-master.json", "https://xarf.org/schemas/v4/types/reputation-threat-intelligence.json"} {
			s, err := c.Compile(id)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(doc); err != nil {
				return err
			}
		}
		return nil
	}
	good := xarfName(t)
	if err := check(good); err != nil {
		t.Errorf("%v", err)
	}
	for _, spoil := range [][2]string{{`"threat_intelligence"`, `"threat"`}, {`"xarf_version"`, `"version"`}, {`"reputation"`, `"gossip"`}} {
		if bad := bytes.Replace(good, []byte(spoil[0]), []byte(spoil[1]), 1); bytes.Equal(bad, good) || check(bad) == nil {
			t.Errorf("with %s it is valid", spoil[1])
		}
	}
}
