package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	impound "github.com/impound/impound"
)

func init() {
	pages = append(pages, "/orders/PHOS-WDC-1/release", "/orders/PHOS-WDC-1/release?how=expire", "/letters/L-0123456789abcdef", "/letters/L-00000000000000aa")
}

// The fixture's letters: one that was answered and isn't done, its reminder, a task
// that somebody says is done.
func (f *fixture) Letters(_ context.Context, order string) ([]LetterView, error) {
	if order != "" && order != "PHOS-WDC-1" {
		return nil, nil
	}
	sent := f.now.Add(-3 * time.Hour)
	two := []impound.Name{impound.MustName("outlook-verify.net"), impound.MustName("yahoo-verify.net")}
	return []LetterView{
		{ID: "L-0123456789abcdef", Kind: "request", Order: "PHOS-WDC-1", Case: "PHOS-2019", Plan: "P-1", Provider: "nic-xy", Via: "mail", Ref: "<impound.L-0123456789abcdef@unit.example>", To: []string{"legal@nic.example"},
			Subject: "Court order PHOS-WDC-1: 2 domain names, please act by 2026-11-28", State: "sent", Made: sent, Sent: sent, Server: "250 2.0.0 Ok: queued as 4XyZ", Delivery: "delivered", DeliverAt: sent.Add(time.Minute), Reminders: 1, Next: sent.Add(72 * time.Hour),
			Names: two, Open: two[1:], Unread: true, Body: impound.HashBytes([]byte("letter")), Replies: []LetterReply{
				{At: sent.Add(time.Minute), Kind: "delivered", By: "system", Text: "delivered, final-recipient rfc822; legal@nic.example, status 2.0.0"},
				{At: sent.Add(time.Hour), Kind: "reply", By: "system", Text: "a mail that says it is from nic.example", Artefact: impound.HashBytes([]byte("sealed"))}},
			Parts: []LetterPart{{"order.yaml", impound.HashBytes([]byte("o")), 4012}, {"request.csv", impound.HashBytes([]byte("r")), 320}}},
		{ID: "L-fedcba9876543210", Kind: "reminder", No: 1, Of: "L-0123456789abcdef", Order: "PHOS-WDC-1", Case: "PHOS-2019", Plan: "P-1", Provider: "nic-xy", Via: "mail", State: "unsure", Made: sent.Add(48 * time.Hour), Names: two[1:], Open: two[1:], Body: impound.HashBytes([]byte("again"))},
		{ID: "L-00000000000000aa", Kind: "request", Order: "PHOS-WDC-1", Case: "PHOS-2019", Plan: "P-1", Provider: "nic-zz", Via: "manual", State: "sent", Made: sent, Sent: sent, Names: two[:1], Open: two[:1], Task: "T4", Claimed: "olaf on 2026-11-21 12:00 UTC", Body: impound.HashBytes([]byte("task"))},
	}, nil
}

func (f *fixture) Letter(ctx context.Context, id string) (LetterView, error) {
	ls, _ := f.Letters(ctx, "")
	for _, l := range ls {
		if l.ID == id {
			return l, nil
		}
	}
	return LetterView{}, impound.Errorf(impound.KindNotFound, "there is no letter %q", id)
}

func (f *fixture) Held(_ context.Context, order string) ([]impound.Name, []string, string, error) {
	if order == "DRAFT-2" {
		return nil, nil, "order DRAFT-2 lets no name go: at its end restore, and it has no return clause", nil
	}
	return []impound.Name{impound.MustName("outlook-verify.net"), impound.MustName("yahoo-verify.net")}, []string{"restore", "expire"}, "", nil
}

func (f *fixture) Risks(_ context.Context, _, how string, names []impound.Name) (map[impound.Name][]impound.GateVerdict, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.weighed += len(names)
	out := map[impound.Name][]impound.GateVerdict{}
	for i, n := range names {
		who := "its registration ends on 2027-11-01, and some 80 days later anybody can register it, the actor too"
		if how == "restore" {
			who = "whoever held it before has it again: registrant C-17 at CHEAP-NAMES"
		}
		out[n] = []impound.GateVerdict{{Gate: "R1-visitors", Outcome: impound.GatePass}, {Gate: "R5-who-gets-it", Outcome: impound.GateWarn, Reason: who}, {Gate: "R8-custody-terms", Outcome: impound.GatePass}}
		if i == 0 {
			out[n][0] = impound.GateVerdict{Gate: "R1-visitors", Outcome: impound.GateBlock, Reason: "victims still come: 12 contacts in the last 90 days. Whoever has it next has them"}
		}
	}
	return out, nil
}

func TestLettersOnThePages(t *testing.T) {
	f := newFixture()
	srv := httptest.NewServer(handler(f))
	defer srv.Close()
	get := func(path string, code int) string {
		t.Helper()
		r, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != code {
			t.Fatalf("GET %s: %d %v\n%.600s", path, r.StatusCode, err, b)
		}
		return string(b)
	}
	has := func(where, page string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(page, w) {
				t.Errorf("%s doesn't say %q", where, w)
			}
		}
	}
	page := get("/orders/PHOS-WDC-1", 200)
	has("the order", page, "Letters and tasks", "/letters/L-0123456789abcdef", "sent, waited for", "delivered", "a mail that says it is from nic[.]example", "nobody has said what it says", "nobody knows whether it was taken", "said to be done by olaf", "who could get the names?")
	if strings.Contains(get("/orders/DRAFT-2", 200), "Letters and tasks") {
		t.Error("an order without letters has a list of them")
	}
	rows, err := csv.NewReader(strings.NewReader(get("/orders/PHOS-WDC-1?format=csv&table=letters", 200))).ReadAll()
	if err != nil || len(rows) != 4 || rows[1][0] != "L-0123456789abcdef" || rows[1][5] != "delivered" || rows[1][12] != impound.HashBytes([]byte("sealed")) {
		t.Errorf("%v %q", err, rows)
	}
	var js struct{ Rows []map[string]any }
	if err := json.Unmarshal([]byte(get("/orders/PHOS-WDC-1?format=json&table=letters", 200)), &js); err != nil || len(js.Rows) != 3 || js.Rows[1]["state"] != "unsure" {
		t.Errorf("%v %+v", err, js)
	}
	page = get("/letters/L-0123456789abcdef", 200)
	has("the letter", page, "delivered, by a delivery report", "1 of 2 names", "An answer came to the mailbox", "250 2.0.0 Ok: queued", "order.yaml", "outlook-verify[.]net", "the next on")
	if strings.Contains(page, "outlook-verify.net<") {
		t.Error("a live name is shown")
	}
	has("the task", get("/letters/L-00000000000000aa", 200), "Task L-00000000000000aa", "given, waited for", "by olaf on", "the views decide")
	get("/letters/L-nothing", 404)
	var api []LetterView
	if err := json.Unmarshal([]byte(get("/api/v1/letters?order=PHOS-WDC-1", 200)), &api); err != nil || len(api) != 3 || !api[0].Unread || len(api[0].Replies) != 2 {
		t.Errorf("%v %+v", err, api)
	}
	if get("/api/v1/letters?order=NONE", 200) != "[]\n" {
		t.Errorf("letters of no order: %q", get("/api/v1/letters?order=NONE", 200))
	}

	page = get("/orders/PHOS-WDC-1/release?how=expire", 200)
	has("letting go", page, "victims still come: 12 contacts", "keep it: have it renewed", "nothing blocks it", "2027-11-01", "1 of these 2 should be kept", "delete: delete the registration (not allowed by the order now)", "impound seize release PHOS-WDC-1 NAME --how expire")
	has("giving back", get("/orders/PHOS-WDC-1/release", 200), "whoever held it before has it again: registrant C-17")
	get("/orders/PHOS-WDC-1/release?how=expire&live=1", 200)
	if f.weighed != 4 {
		t.Errorf("%d names were asked about, want those that were shown", f.weighed)
	}
	has("an order that lets nothing go", get("/orders/DRAFT-2/release", 200), "it has no return clause", "No name is held under this order")
	get("/orders/PHOS-WDC-1/release?how=sell", 400)

	has("the plan", get("/plans/P-1", 200), "own servers", "answers with authority")
	has("the name", get("/cases/PHOS-2019/names/outlook-verify.net", 200), "Its own servers", "How the views came to show it", "2.5s", "the former name servers")
}
