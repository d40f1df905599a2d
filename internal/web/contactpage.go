package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	impound "github.com/impound/impound"
)

func networkName(n impound.Network) string {
	switch {
	case n.ASN != 0 && n.Name != "":
		return fmt.Sprintf("AS%d %s", n.ASN, n.Name)
	case n.ASN != 0:
		return fmt.Sprintf("AS%d", n.ASN)
	case n.Name != "":
		return n.Name
	}
	return "unknown network"
}

func prefix(n impound.Network) string {
	if !n.Prefix.IsValid() {
		return ""
	}
	return n.Prefix.String()
}

func (s *server) victimTable(victims []NetworkCount, id string) *table {
	t := &table{ID: "victims", Title: "Victims by network", Live: true, CLI: cliLine("contacts", "victims", "--case", id), Empty: "No victim has been seen yet.",
		Cols: []col{num("asn", "AS"), txt("network", "network"), txt("prefix", "prefix"), txt("country", "country"), txt("sector", "sector"), num("victims", "victims"), num("contacts", "contacts"), txt("first", "first"), txt("last", "last"), txt("abuse", "reports go to")}}
	for _, v := range victims {
		t.Rows = append(t.Rows, row{Key: fmt.Sprint(v.Network.ASN, " ", prefix(v.Network), " ", v.Network.Name), Cells: []cell{
			{Value: v.Network.ASN, Kind: "num"}, text(v.Network.Name), mono(prefix(v.Network)), text(v.Network.Country), text(v.Network.Sector),
			number(v.Victims), number(v.Contacts), s.timeCell(v.First), s.timeCell(v.Last), text(v.Network.Abuse)}})
	}
	return t
}

// ---- contacts

// contactTable shows contacts, sources cut to their network. brief leaves out
// of the page what the newest contacts on a busy one need not say.
func (s *server) contactTable(cs []impound.Contact, total int, id, title string, q ContactQuery, brief bool) *table {
	ua := txt("user_agent", "user agent")
	ua.Hide, ua.Wrap = brief, true
	t := &table{ID: id, Title: title, Total: total, Live: true, CLI: cliFilter([]string{"contacts", "list"}, q.encode()), Empty: "No contact yet.",
		Note: "Sources are cut to /24 and /48 here.",
		Cols: []col{txt("at", "when (UTC)"), txt("class", "class"), hidden("confidence", ""), txt("name", "asked for"), hidden("proto", ""), hidden("what", ""),
			txt("source", "source"), hidden("network", ""), hidden("country", ""), ua, txt("reasons", "why this class"), hidden("case", ""), hidden("sensor", ""), hidden("seq", "")}}
	for _, c := range cs {
		v := contactOf(c)
		class := classCell(c.Class)
		class.Sub = fmt.Sprintf("%d %% sure", v.Confidence)
		name := mono(defang(v.Name))
		name.Sub = strings.TrimSpace(v.Proto + " " + v.What)
		why := reasonsCell(c.Reasons)
		if brief {
			why = mainReasons(c.Reasons)
		}
		src := mono(v.Source)
		if v.Source == "" {
			src.Text = "not kept"
		}
		src.Sub = v.Network
		if v.Country != "" {
			src.Sub = strings.TrimPrefix(src.Sub+", "+v.Country, ", ")
		}
		t.Rows = append(t.Rows, row{Key: fmt.Sprintf("%s/%d", c.Sensor, c.Seq), Cells: []cell{
			s.timeCell(c.At), class, {Value: v.Confidence}, name, text(v.Proto), text(v.What),
			src, text(v.Network), text(v.Country), text(defangHosts(v.UserAgent)), why, text(c.Case), text(c.Sensor), {Value: c.Seq}}})
	}
	return t
}

func (s *server) contacts(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	cq, err := parseContacts(q)
	if err != nil {
		return nil, err
	}
	cs, n, err := s.desk.Contacts(ctx, cq)
	if err != nil {
		return nil, err
	}
	t := s.contactTable(cs, n, "contacts", "Contacts", cq, false)
	t.Empty = "No contact fits."
	opts := func(list any) (out []string) {
		switch list := list.(type) {
		case []impound.Class:
			for _, x := range list {
				out = append(out, string(x))
			}
		case []impound.Proto:
			for _, x := range list {
				out = append(out, string(x))
			}
		}
		return out
	}
	d := listData{Table: t, Pager: turn("/contacts", cq.encode(), cq.Offset, cq.Limit, len(cs), n),
		Intro: "Everybody who came to a seized name, with what was made of them and why. Source addresses are cut to /24 and /48 on these pages, in exports too.",
		Filters: []filter{
			{"case", "case", cq.Case, nil}, {"class", "class", string(cq.Class), opts(classes)},
			{"zone", "seized name", zoneText(cq.Zone), nil}, {"proto", "protocol", string(cq.Proto), opts(protos)}}}
	return &page{Tmpl: "table-page.html", Title: "Contacts", Nav: "/contacts", Data: d, Tables: []*table{t}}, nil
}
