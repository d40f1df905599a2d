package notify_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestXARFNameBySchema holds a report against the schemas that XARF publishes.
func TestXARFNameBySchema(t *testing.T) {
	dir := os.Getenv("IMPOUND_XARF_SCHEMAS")
	if dir == "" {
		t.Skip("IMPOUND_XARF_SCHEMAS is no directory of XARF's v4 schemas")
	}
	py := peertest.Need(t, "python3", "python3")
	peertest.NeedThat(t, "python3-jsonschema", exec.Command(py, "-c", "import jsonschema").Run() == nil, "apt-get install python3-jsonschema")
	check := func(b []byte) (string, error) {
		file := filepath.Join(t.TempDir(), "xarf.json")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(py, "-W", "ignore", "-c", `
import sys, json, glob, jsonschema
docs = [json.load(open(f)) for f in glob.glob(sys.argv[1] + "/*.json") + glob.glob(sys.argv[1] + "/types/*.json")]
store = {d["$id"]: d for d in docs}
report = json.load(open(sys.argv[2]))
for name in ("xarf-v4-master.json", "types/reputation-threat-intelligence.json"):
    s = json.load(open(sys.argv[1] + "/" + name))
    jsonschema.Draft202012Validator(s, resolver=jsonschema.RefResolver(s["$id"], s, store=store), format_checker=jsonschema.FormatChecker()).validate(report)
print("valid")
`, dir, file).CombinedOutput()
		return string(out), err
	}
	good := xarfName(t)
	if out, err := check(good); err != nil || strings.TrimSpace(out) != "valid" {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := check(bytes.Replace(good, []byte(`"threat_intelligence"`), []byte(`"threat"`), 1)); err == nil {
		t.Errorf("a type that there isn't is valid: %s", out)
	}
}
