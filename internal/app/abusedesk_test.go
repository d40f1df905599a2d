package app

import "testing"

func TestAbuseDesks(t *testing.T) {
	config := func(a AskedConfig) Config {
		a.Provider, a.TLDs, a.To = "desk", []string{"xy"}, []string{"abuse@nic.test"}
		return Config{Report: ReportConfig{Organisation: "Unit", From: "desk@unit.test", Domain: "unit.test"}, Mail: MailConfig{Relay: "127.0.0.1:2525", TLS: "none"}, Asked: []AskedConfig{a}}
	}
	host := config(AskedConfig{Role: "host", Via: "mail"})
	anonymous := host
	anonymous.Report.Domain = ""
	for name, tt := range map[string]struct {
		c    Config
		want string // where the one problem is, "" for none
	}{
		"a registrar's desk":    {config(AskedConfig{Role: "registrar", Via: "mail", AbuseDesk: true}), ""},
		"a host":                {host, ""},
		"a host by hand":        {config(AskedConfig{Role: "host", Via: "manual", Owner: "ben"}), "asked[0].role"},
		"reports by hand":       {config(AskedConfig{Role: "registry", Via: "manual", Owner: "ben", AbuseDesk: true}), "asked[0].abuse_desk"},
		"reports of nobody":     {anonymous, "asked[0].abuse_desk"},
		"a role that isn't one": {config(AskedConfig{Role: "abuse", Via: "mail"}), "asked[0].role"},
	} {
		ps := tt.c.Check(t.TempDir())
		if tt.want == "" && len(ps) > 0 || tt.want != "" && (len(ps) != 1 || ps[0].Where != tt.want) {
			t.Errorf("%s: want a problem at %q, got %v", name, tt.want, ps)
		}
	}
}
