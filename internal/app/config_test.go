package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
)

func TestConfigFaults(t *testing.T) {
	for doc, parts := range map[string][]string{
		"web: 127.0.0.1:1\nwep: x\n":                                {"impound.yaml:2", "no key wep", "config reference"},
		"web: 0.0.0.0:8480\n":                                       {"no TLS of their own", "ssh -L"},
		"custody_every: 10s\n":                                      {"custody_every", "too often"},
		"custody_every: daily\n":                                    {"custody_every", "no time span"},
		"web: here\n":                                               {"HOST:PORT"},
		"sinkhole:\n  listen: [\"dns:5300\"]\n":                     {"listen[0]", "no listener"},
		"sinkhole:\n  listen: [\"ftp://127.0.0.1:21\"]\n":           {"listen[0]", "no listener", "dns://"},
		"role: boss\n":                                              {"role", "all, hub or sensor"},
		"role: sensor\n":                                            {"sinkhole.sensor", "sinkhole.listen", "control.hub_key", "no orders could reach"},
		"control: {url: \"http://hub.example:1\"}\n":                {"control.url", "travel in the open"},
		"hub: {listen: \"http://0.0.0.0:1\"}\n":                     {"hub.listen", "refused"},
		"hub: {policy_valid: never}\n":                              {"hub.policy_valid", "time span"},
		"hub: {cert: a.pem}\n":                                      {"both cert and key", "couldn't find a.pem"},
		"sinkhole: {acme: {directory: \"https://ca.example/d\"}}\n": {"agree_tos"},
		"sinkhole: {sync_every: 0s}\n":                              {"sinkhole.sync_every"},
		"routes: {\"192.0.2.1:53\": \"192.0.2.2:53\"}\n":            {"routes", "not on loopback"},
		"registries:\n  - {provider: a, role: boss, tlds: [net]}\n": {"registries[0]", "boss"},
		"registries:\n  - {provider: a, role: registry, tlds: [net], epp: a:1, client_id: x, password_file: nope}\n":                            {"couldn't find nope"},
		"zones:\n  - {provider: a, zone: example, via: dnsupdate, server: \"127.0.0.1:53\", secret_file: nope}\n":                               {"zones[0].secret_file", "couldn't find nope"},
		"zones:\n  - {provider: a, zone: example, via: dnsupdate, server: \"127.0.0.1:53\", secret_file: impound.yaml}\n":                       {"zones[0].secret_file", "mode 0644", "chmod 600"},
		"zones:\n  - {provider: a, zone: example, via: pigeon}\n":                                                                               {"zones[0].via", "dnsupdate or libdns", "zones[0].secret_file", "no key"},
		"zones:\n  - {provider: a, zone: example, via: libdns, host: nowhere}\n":                                                                {"zones[0].host", "cloudflare, desec, rfc2136"},
		"zones:\n  - {provider: a, zone: example, via: dnsupdate, host: desec}\n":                                                               {"zones[0].host", "zones[0].server", "no address of a server"},
		"zones:\n  - {provider: a, zone: \"..\", via: libdns, host: desec, server: \"a:1\", ttl: never, rdap: \"ftp://x\"}\n":                   {"zones[0].zone", "zones[0].server", "zones[0].ttl", "zones[0].rdap"},
		"registries:\n  - {provider: a, role: registry, tlds: [example]}\nzones:\n  - {provider: a, zone: example, via: libdns, host: desec}\n": {"zones[0].provider", "zones[0].zone", "claimed by a and a"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := LoadConfig(dir, "")
		if impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%q: %v", doc, err)
			continue
		}
		for _, p := range append(parts, ConfigFile) {
			if !strings.Contains(err.Error(), p) {
				t.Errorf("%q: %v lacks %q", doc, err, p)
			}
		}
	}
}

func TestConfigRoundTrip(t *testing.T) {
	dir := t.TempDir()
	if c, err := LoadConfig(dir, ""); err != nil || c.Web != "" {
		t.Fatalf("no file: %+v, %v", c, err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(ConfigTemplate()), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(dir, "")
	if err != nil {
		t.Fatalf("the template: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.yaml"), c.YAML(), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := LoadConfig(dir, filepath.Join(dir, "b.yaml"))
	if err != nil || string(d.YAML()) != string(c.YAML()) {
		t.Fatalf("%v\n%s\n%s", err, c.YAML(), d.YAML())
	}
	if _, err := LoadConfig(dir, filepath.Join(dir, "missing.yaml")); err == nil {
		t.Error("a named file that is missing was taken for empty")
	}
}

func TestReferenceNamesEveryKey(t *testing.T) {
	r := ConfigReference()
	for _, key := range []string{"web:", "  listen:", "    password_file:", "routes:", "  domain:"} {
		if !strings.Contains(r, "\n"+key) {
			t.Errorf("the reference lacks %q", key)
		}
	}
}
