package mailconn_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/mailconn"
)

// parts gives the parts of one media type anywhere in a mail, with their own
// parts' raw octets.
func parts(t *testing.T, raw []byte, media string) (out []*bytes.Buffer, params []map[string]string) {
	t.Helper()
	var walk func(h interface{ Get(string) string }, body io.Reader)
	walk = func(h interface{ Get(string) string }, body io.Reader) {
		m, ps, err := mime.ParseMediaType(h.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		b := new(bytes.Buffer)
		if _, err := b.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		if m == media {
			out, params = append(out, b), append(params, ps)
		} else if strings.HasPrefix(m, "multipart/") {
			for mr := multipart.NewReader(b, ps["boundary"]); ; {
				p, err := mr.NextRawPart()
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				walk(p.Header, p)
			}
		}
	}
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	walk(msg.Header, msg.Body)
	return out, params
}

func abuseConfig(t *testing.T, gag bool, change func(o *impound.Order)) (mailconn.Config, *[]mailconn.Abuse) {
	cfg := config(t, mandate(t, t0))
	papers := cfg.Papers
	cfg.Papers = func(ctx context.Context, id string) (mailconn.Papers, error) {
		p, err := papers(ctx, id)
		p.Order.Authority.Gag = gag
		if change != nil {
			change(&p.Order)
		}
		return p, err
	}
	var told []mailconn.Abuse
	cfg.XARF = func(a mailconn.Abuse) ([]byte, error) {
		told = append(told, a)
		return []byte(`{"of":"` + a.Name.String() + `"}`), nil
	}
	return cfg, &told
}

// TestAbuseReports takes the reports of a letter to an abuse desk apart as a
// program there would.
func TestAbuseReports(t *testing.T) {
	cfg, told := abuseConfig(t, false, nil)
	l, err := connector(t, cfg).Compose(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	o := open(t, l.Body)
	reports, params := parts(t, l.Body, "multipart/report")
	if len(reports) != len(hostile) || len(*told) != len(hostile) {
		t.Fatalf("%d ARF and %d XARF reports of %d names", len(reports), len(*told), len(hostile))
	}
	for i, n := range hostile {
		if got := string(o.files["xarf-00"+string(rune('1'+i))+".json"]); got != `{"of":"`+n.String()+`"}` {
			t.Errorf("XARF of %s: %s", n, got)
		}
		if a := (*told)[i]; a.Name != n || a.Letter != l.Request.ID || len([]rune(a.Text)) > 1000 || strings.Contains(a.Text, n.String()) || strings.Contains(a.Text, "@") || !strings.Contains(a.Text, n.Defanged()) {
			t.Errorf("told of %s: %+v", n, a)
		}
		if params[i]["report-type"] != "feedback-report" {
			t.Errorf("it is a report of type %q", params[i]["report-type"])
		}
		mr := multipart.NewReader(reports[i], params[i]["boundary"])
		var media []string
		for {
			p, err := mr.NextRawPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			m, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
			if err != nil {
				t.Fatal(err)
			}
			media = append(media, m)
			var h textproto.MIMEHeader
			if m != "text/plain" {
				if h, err = textproto.NewReader(bufio.NewReader(p)).ReadMIMEHeader(); err != nil && err != io.EOF {
					t.Fatal(err)
				}
			}
			switch m {
			case "text/plain":
				b, err := io.ReadAll(quotedprintable.NewReader(p))
				if err != nil || strings.Contains(string(b), n.String()) || !strings.Contains(string(b), n.Defanged()) {
					t.Errorf("%v: %s", err, b)
				}
			case "message/feedback-report":
				for k, want := range map[string]string{"Feedback-Type": "fraud", "User-Agent": "Impound/1", "Version": "1", "Reported-Domain": n.String()} {
					if got := h[textproto.CanonicalMIMEHeaderKey(k)]; !slices.Equal(got, []string{want}) {
						t.Errorf("%s: %q, want %q", k, got, want)
					}
				}
				if len(h) != 4 {
					t.Errorf("fields: %q", h)
				}
			case "text/rfc822-headers":
				if len(h) != 2 || h.Get("Date") == "" || h.Get("Subject") == "" {
					t.Errorf("a head that could have somebody blocked: %q", h)
				}
			}
		}
		if !slices.Equal(media, []string{"text/plain", "message/feedback-report", "text/rfc822-headers"}) {
			t.Errorf("the report's parts: %q", media)
		}
	}
}

// TestNoAbuseReports: programs pass such reports on to the customer.
func TestNoAbuseReports(t *testing.T) {
	undo := func(r *seizure.Request) { r.Revert = true }
	for name, tt := range map[string]struct {
		gag    bool
		order  func(o *impound.Order)
		change func(r *seizure.Request)
	}{
		"a gag":      {gag: true},
		"sealed":     {order: func(o *impound.Order) { o.SealedUntil = t0.Add(48 * time.Hour) }},
		"a revert":   {change: undo},
		"a release":  {change: func(r *seizure.Request) { r.Release = "restore" }},
		"a reminder": {change: func(r *seizure.Request) { r.Kind, r.No, r.Of = seizure.LetterReminder, 1, "L-0" }},
	} {
		cfg, told := abuseConfig(t, tt.gag, tt.order)
		r := request()
		if tt.change != nil {
			tt.change(&r)
		}
		l, err := connector(t, cfg).Compose(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if rs, _ := parts(t, l.Body, "multipart/report"); len(rs)+len(*told) > 0 || bytes.Contains(l.Body, []byte("xarf")) {
			t.Errorf("%s: %d ARF and %d XARF reports went along", name, len(rs), len(*told))
		}
	}
	cfg, _ := abuseConfig(t, false, nil)
	r := request()
	for len(r.Changes) <= 500 {
		r.Changes = append(r.Changes, r.Changes[0])
	}
	if _, err := connector(t, cfg).Compose(t.Context(), r); impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), "501") {
		t.Errorf("501 names: %v", err)
	}
}

// TestHostIsAskedNothing: no act of an order is a host's, so neither is a letter
// written nor one sent, whatever permits there are.
func TestHostIsAskedNothing(t *testing.T) {
	m := mandate(t, t0)
	cfg, _ := abuseConfig(t, false, nil)
	cfg.Relay.Addr = server(t, script(nil))
	good, err := connector(t, cfg).Compose(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Role = "host"
	c := connector(t, cfg)
	if len(c.Capabilities().Acts) > 0 {
		t.Errorf("%+v", c.Capabilities())
	}
	said := func(what string, err error) {
		t.Helper()
		if impound.KindOf(err) != impound.KindRefused || !strings.Contains(err.Error(), "asked of a host: no act") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = c.Compose(t.Context(), request())
	said("compose", err)
	ps := permits(t, m, cfg.Now(), changes())
	_, err = c.Ask(t.Context(), ps, good, func() error { t.Error("it was about to be sent"); return nil })
	said("ask", err)
	_, err = c.Do(t.Context(), ps, changes()[0])
	said("do", err)
}
