package seizure_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/epp"
)

// What a registry sends that breaks EPP is bounded, said and kept: the plan has no
// step for the name and says why, and the log holds the very frame, though not for
// each of many names.
func TestBrokenAnswersAreKept(t *testing.T) {
	t.Parallel()
	const greeting = epp.Header + `<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><greeting><svID>broken</svID><svDate>2026-11-21T11:00:00Z</svDate><svcMenu><version>1.0</version><lang>en</lang><objURI>urn:ietf:params:xml:ns:domain-1.0</objURI><svcExtension><extURI>urn:ietf:params:xml:ns:secDNS-1.1</extURI></svcExtension></svcMenu></greeting></epp>`
	ok := func(id string) string {
		return epp.Header + `<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><response><result code="1000"><msg>ok</msg></result><trID>` + id + `<svTRID>S-1</svTRID></trID></response></epp>`
	}
	bomb := `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><epp>&b;</epp>`
	for name, c := range map[string]struct {
		greeting, info string // info is what is sent in place of an answer
		length         int    // what the frame of info says of itself; 0: the truth
		says           string
		keeps          string // the frame in the log; "" where none could be read
	}{
		"a bomb for a greeting":    {greeting: bomb, says: "document type declaration", keeps: bomb},
		"a greeting of another":    {greeting: strings.ReplaceAll(greeting, "epp-1.0", "epp-2.0"), says: "no greeting of", keeps: strings.ReplaceAll(greeting, "epp-1.0", "epp-2.0")},
		"a greeting without needs": {greeting: strings.ReplaceAll(greeting, "secDNS-1.1", "secDNS-1.0"), says: "offers no extension", keeps: strings.ReplaceAll(greeting, "secDNS-1.1", "secDNS-1.0")},
		"a bomb for an answer":     {greeting: greeting, info: bomb, says: "document type declaration", keeps: bomb},
		"no clTRID":                {greeting: greeting, info: ok(""), says: "without the client transaction id", keeps: ok("")},
		"another's clTRID":         {greeting: greeting, info: ok("<clTRID>OTHER</clTRID>"), says: `answers "OTHER"`, keeps: ok("<clTRID>OTHER</clTRID>")},
		"no UTF-8":                 {greeting: greeting, info: "<epp>\xff</epp>", says: "not valid UTF-8", keeps: "<epp>\xff</epp>"},
		"ten megabytes":            {greeting: greeting, info: "<epp>", length: 10 << 20, says: "10485760 octets"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certs := httptest.NewTLSServer(http.NotFoundHandler())
			defer certs.Close()
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certs.TLS.Certificates})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go breaks(conn, c.greeting, c.info, c.length, ok)
				}
			}()
			w := newWorld(t)
			for i := len(w.names); i < 20; i++ {
				w.names = append(w.names, n(fmt.Sprintf("broken-%d.com", i)))
			}
			m := w.authorize(w.order())
			roots := x509.NewCertPool()
			roots.AddCert(certs.Certificate())
			conn, err := seizure.NewEPP("reg", "registry", epp.Config{Addr: l.Addr().String(), TLS: &tls.Config{RootCAs: roots}, ClientID: "us-123", Password: []byte("hush-hush"), Now: w.now})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			e := w.engine(func(cfg *seizure.Config) { cfg.Connectors = map[string]seizure.Connector{"reg": conn} })
			p, err := e.Plan(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if change, _, _ := p.Count(); change != 0 {
				t.Errorf("%d names change", change)
			}
			for _, np := range p.Names {
				if !strings.Contains(np.Blocked, c.says) {
					t.Errorf("%s: %q does not say %q", np.Name, np.Blocked, c.says)
				}
			}
			kept, err := w.log.Select(t.Context(), evidence.Filter{What: "seize.broken"})
			if err != nil {
				t.Fatal(err)
			}
			if len(kept) != 8 {
				t.Errorf("%d answers are kept, want 8 of 20", len(kept))
			}
			for _, x := range kept {
				d := x.Entry.Detail
				if x.Entry.Case != "case-1" || x.Entry.Order != "TEST-1" || x.Entry.Name.IsZero() || d["provider"] != "reg" || !strings.Contains(d["error"], c.says) {
					t.Errorf("the entry is %+v", x.Entry)
				}
				var got []string
				for _, h := range strings.Fields(d["frames"]) {
					b, err := w.log.Read(h)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, string(b))
				}
				if c.keeps == "" && len(got) > 0 || c.keeps != "" && (len(got) == 0 || got[len(got)-1] != c.keeps) {
					t.Errorf("the log holds %q", got)
				}
				if strings.Contains(strings.Join(got, ""), "hush-hush") {
					t.Error("the password is in the log")
				}
			}
			// After an hour it is worth keeping again.
			w.mu.Lock()
			w.clock = w.clock.Add(time.Hour)
			w.mu.Unlock()
			if _, err := e.Plan(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if kept, _ = w.log.Select(t.Context(), evidence.Filter{What: "seize.broken"}); len(kept) != 16 {
				t.Errorf("an hour later %d answers are kept, want 16", len(kept))
			}
		})
	}
}

// breaks serves one session: a greeting, a login that works, then info for
// whatever comes.
func breaks(conn net.Conn, greeting, info string, length int, ok func(string) string) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(epp.Frame([]byte(greeting))); err != nil {
		return
	}
	for first := true; ; first = false {
		b, err := epp.ReadFrame(conn, epp.MaxFrame)
		if err != nil {
			return
		}
		_, id, _ := strings.Cut(string(b), "<clTRID>")
		id, _, _ = strings.Cut(id, "</clTRID>")
		out := epp.Frame([]byte(ok("<clTRID>" + id + "</clTRID>")))
		if !first {
			out = epp.Frame([]byte(info))
			if length > 0 {
				out = append([]byte{byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}, info...)
			}
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}
