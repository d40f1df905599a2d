package app

import (
	"context"
	"slices"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/web"
)

// Letters gives the letters of an order, oldest first, as the pages show them.
func (d desk) Letters(ctx context.Context, orderID string) ([]web.LetterView, error) {
	ls, err := d.s.Letters(ctx, orderID)
	out := make([]web.LetterView, 0, len(ls))
	for _, l := range ls {
		out = append(out, letterView(l))
	}
	return out, err
}

// Letter gives one, with what went along.
func (d desk) Letter(ctx context.Context, id string) (web.LetterView, error) {
	info, err := d.s.letter(ctx, id)
	if err != nil {
		return web.LetterView{}, err
	}
	_, l, err := d.s.Seizure.Letter(ctx, id)
	v := letterView(d.s.withTask(ctx, info))
	for _, p := range l.Parts {
		v.Parts = append(v.Parts, web.LetterPart{Name: p.Name, Hash: p.Hash, Size: p.Size})
	}
	return v, err
}

func letterView(l Letter) web.LetterView {
	v := web.LetterView{
		ID: l.ID, Kind: l.Kind, No: l.No, Of: l.Of, Order: l.Order, Case: l.Case, Plan: l.Plan, Provider: l.Provider, Via: l.Via, Ref: l.Ref, To: l.To, Subject: l.Subject, State: l.State,
		Made: l.Made, Sent: l.Sent, Server: l.Answer, Reminders: l.Reminders, Next: l.Next, Names: l.Names, Open: l.Open, Unread: unread(l.LetterInfo), Task: l.Task, Claimed: l.Claimed, Body: l.Body,
	}
	for _, r := range l.Replies {
		v.Replies = append(v.Replies, web.LetterReply{At: r.At, Kind: r.Kind, By: r.By, Text: r.Text, Artefact: r.Artefact})
		switch r.Kind {
		case "delivered", "delayed", "failed":
			if v.Delivery != "failed" { // one recipient of several is enough
				v.Delivery, v.DeliverAt = r.Kind, r.At
			}
		}
	}
	return v
}

// Held gives the names of an order that are taken now, and in which ways it lets
// them go.
func (d desk) Held(ctx context.Context, orderID string) ([]impound.Name, []string, string, error) {
	x, err := d.s.Casework.Sight(ctx)
	if err != nil {
		return nil, nil, "", err
	}
	if !x.Order(orderID) {
		orderID = noSuch
	}
	m, err := d.s.Mandate(ctx, orderID)
	if err != nil {
		return nil, nil, "", err
	}
	st, _, err := d.s.Seizure.StatusToShow(ctx, orderID)
	if err != nil {
		return nil, nil, "", err
	}
	var names []impound.Name
	for _, z := range st {
		if z.FormerPlan != "" && z.Reverted == "" && (z.Outcome == seizure.Done || z.Outcome == seizure.Already) {
			names = append(names, z.Name)
		}
	}
	slices.SortFunc(names, func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) })
	var ways []string
	why := ""
	for _, how := range []string{impound.ReleaseRestore, impound.ReleaseExpire, impound.ReleaseDelete} {
		if err := m.Releases(how, d.s.now()); err == nil {
			ways = append(ways, how)
		} else if why == "" {
			why = err.Error()
		}
	}
	if len(ways) > 0 {
		why = ""
	}
	return names, ways, why, nil
}

// Risks says what speaks against letting names go.
func (d desk) Risks(ctx context.Context, orderID, how string, names []impound.Name) (map[impound.Name][]impound.GateVerdict, error) {
	return d.s.Risks(ctx, orderID, how, names...)
}

var (
	_ web.LetterDesk  = desk{}
	_ web.ReleaseDesk = desk{}
)
