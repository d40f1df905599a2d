package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/net/netutil"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/contest"
	"github.com/impound/impound/internal/evidence"
)

// ContestConfig is the public page on which those whom an order hits say so.
type ContestConfig struct {
	// Listen is HOST:PORT; off this machine it takes a certificate.
	Listen string `yaml:"listen,omitempty" json:"listen,omitempty"`
	// Cert and Key are PEM files. Without them a proxy on this machine brings TLS.
	Cert string `yaml:"cert,omitempty" json:"cert,omitempty"`
	Key  string `yaml:"key,omitempty" json:"key,omitempty"`
	// Organisation answers; Elsewhere says how else it can be reached. Both are
	// shown as plain text.
	Organisation string `yaml:"organisation,omitempty" json:"organisation,omitempty"`
	Elsewhere    string `yaml:"elsewhere,omitempty" json:"elsewhere,omitempty"`
	// Days is within how many a claim is answered; 0 is 14.
	Days int `yaml:"days,omitempty" json:"days,omitempty"`
}

func (c *Config) checkContest() impound.Problems {
	k := c.Contest
	if k.Listen == "" {
		return nil
	}
	var ps impound.Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(where).WithCure(cure))
	}
	host, _, err := net.SplitHostPort(k.Listen)
	switch {
	case err != nil:
		bad("contest.listen", "write HOST:PORT, such as 127.0.0.1:8490", "%q is no address to listen on", k.Listen)
	case k.Cert == "" && !loopback(host):
		bad("contest.cert", "give cert and key, or listen on 127.0.0.1 behind a proxy that brings TLS", "what people write would cross the network in the clear")
	}
	if (k.Cert == "") != (k.Key == "") {
		bad("contest.key", "give both cert and key", "a certificate needs its key")
	}
	if len(c.Personal.SealTo) == 0 {
		bad("personal_data.seal_to", "give the age recipient of whoever answers claims", "claims are personal data, and there is nobody to seal them to")
	}
	if k.Days < 0 || k.Days > 365 {
		bad("contest.days", "write 14, or what the order says", "%d days is no time to answer in", k.Days)
	}
	return ps
}

// Entries about claims.
const (
	whatClaim        = "contest.claim"
	whatClaimDismiss = "contest.dismiss"
)

func (c *Config) contestDays() int {
	if c.Contest.Days > 0 {
		return c.Contest.Days
	}
	return contestDays
}

// startContest serves the public page.
func (s *System) startContest(v *serving) error {
	l, err := net.Listen("tcp", s.cfg.Contest.Listen)
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't listen for the contest page: %w", err).At("contest.listen: " + s.cfg.Contest.Listen)
	}
	l = netutil.LimitListener(l, 256)
	if s.cfg.Contest.Cert != "" {
		cert, err := tls.LoadX509KeyPair(s.cfg.Path(s.opt.State, s.cfg.Contest.Cert), s.cfg.Path(s.opt.State, s.cfg.Contest.Key))
		if err != nil {
			l.Close()
			return impound.Errorf(impound.KindInvalid, "couldn't read the contest page's certificate: %w", err).At("contest.cert")
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	h := contest.New(contest.Config{Take: s.takeClaim, Organisation: s.cfg.Contest.Organisation, Elsewhere: s.cfg.Contest.Elsewhere, Days: s.cfg.contestDays(), Now: s.now, Log: s.log})
	v.contestAt = l.Addr().String()
	v.contest = &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	v.wg.Go(func() {
		if err := v.contest.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the contest page stopped", "err", err)
		}
	})
	return nil
}

// takeClaim keeps a claim, sealed. The log says of which name, and when; whose
// it is stands in the sealed artefact alone.
func (s *System) takeClaim(ctx context.Context, c contest.Claim) (string, error) {
	to, err := s.cfg.personalRecipients()
	if err != nil {
		return "", err
	}
	if len(to) == 0 {
		return "", impound.Errorf(impound.KindRefused, "there is nobody to seal a claim to").At("personal_data.seal_to")
	}
	ref := UnguessableID("CL")
	plain, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("couldn't write the claim: %w", err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to...)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", fmt.Errorf("couldn't seal the claim: %w", err)
	}
	at := s.now().UTC()
	a, err := s.Evidence.Capture(ctx, impound.Artefact{Kind: "contest-claim", Media: "application/age-encryption", Name: c.Name, Source: "the public form, claim " + ref, Tool: "impound " + s.opt.Version, By: casework.System, At: at}, sealed.Bytes())
	if err != nil {
		return "", err
	}
	_, err = s.Evidence.Append(ctx, impound.Entry{ID: whatClaim + ":" + ref, Type: impound.EntrySystem, At: at, By: casework.System, What: whatClaim, Name: c.Name, Artefact: &a,
		Detail: map[string]string{"ref": ref, "due": at.AddDate(0, 0, s.cfg.contestDays()).Format(time.RFC3339), "text": "somebody contests the name by the public form"}})
	return ref, err
}

// ClaimRow is a claim by the public form.
type ClaimRow struct {
	Ref   string       `json:"ref"`
	Name  impound.Name `json:"name"`
	At    time.Time    `json:"at"`
	Due   time.Time    `json:"due"`
	Hash  string       `json:"sealed"`          // the artefact that holds it, encrypted
	State string       `json:"state"`           // "open" | "taken up" | "dismissed"
	Order []string     `json:"order,omitempty"` // orders that hold the name
	Why   string       `json:"why,omitempty"`   // it was dismissed
}

// Claims gives what came in by the public form, oldest first. A claim is taken up
// by a decision on its name that is newer, and else waits.
func (s *System) Claims(ctx context.Context) ([]ClaimRow, error) {
	es, err := s.Log(ctx, evidence.Filter{What: "contest."})
	if err != nil {
		return nil, err
	}
	dismissed := map[string]string{}
	for _, e := range es {
		if e.Entry.What == whatClaimDismiss {
			dismissed[e.Entry.Detail["ref"]] = e.Entry.Detail["text"]
		}
	}
	if !slices.ContainsFunc(es, func(e evidence.Indexed) bool { return e.Entry.What == whatClaim }) {
		return nil, nil
	}
	ms, err := s.Casework.Mandates(ctx)
	if err != nil && impound.KindOf(err) != impound.KindPartial {
		return nil, err
	}
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	var out []ClaimRow
	for _, e := range es {
		if e.Entry.What != whatClaim || e.Entry.Artefact == nil {
			continue
		}
		r := ClaimRow{Ref: e.Entry.Detail["ref"], Name: e.Entry.Name, At: e.Entry.At, Hash: e.Entry.Artefact.Hash, State: "open"}
		r.Due, _ = time.Parse(time.RFC3339, e.Entry.Detail["due"])
		if why, ok := dismissed[r.Ref]; ok {
			r.State, r.Why = "dismissed", why
		} else {
			ds, err := s.Casework.Decisions(ctx, r.Name)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(ds, func(d casework.Decision) bool {
				return (d.What == casework.WhatContest || d.What == casework.WhatContestEnd) && !d.At.Before(r.At.Truncate(time.Second))
			}) {
				r.State = "taken up"
			}
		}
		for _, m := range ms {
			o := m.Order()
			if x.Order(m.ID()) && slices.ContainsFunc(o.Names(), func(on impound.OrderName) bool { return r.Name.AtOrBelow(on.Name) }) {
				r.Order = append(r.Order, m.ID())
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// AlarmContest is the kind of an alarm about a claim by the public form that
// nobody has answered yet.
const AlarmContest = "contest"

// claimAlarms gives an alarm for each claim that waits, to those whom [System.Claims]
// shows it.
func (s *System) claimAlarms(ctx context.Context) ([]Alarm, error) {
	rs, err := s.Claims(ctx)
	if err != nil {
		return nil, err
	}
	var out []Alarm
	now := s.now()
	for _, r := range rs {
		if r.State != "open" {
			continue
		}
		a := Alarm{Name: r.Name, Kind: AlarmContest, At: r.At, Cure: "read it; then take it up, give the name back, or dismiss it", Cmd: "impound contest list"}
		under := "no order that you may see holds it"
		if len(r.Order) > 0 {
			a.Order, under = r.Order[0], "held by order "+strings.Join(r.Order, ", ")
		}
		when := "to be answered until " + r.Due.UTC().Format(time.DateOnly)
		if r.Due.Before(now) {
			when = "it should have been answered until " + r.Due.UTC().Format(time.DateOnly)
		}
		a.Text = fmt.Sprintf("somebody contests %s by the public form: claim %s of %s, %s (%s)", r.Name.Defanged(), r.Ref, r.At.UTC().Format(time.DateOnly), when, under)
		out = append(out, a)
	}
	return out, nil
}

// DismissClaim records that counsel found nothing in a claim, and why.
func (s *System) DismissClaim(ctx context.Context, by, ref, why string) error {
	if err := s.may(ctx, "DismissClaim", by); err != nil {
		return err
	}
	if strings.TrimSpace(why) == "" || len(why) > 4<<10 {
		return impound.Errorf(impound.KindInvalid, "say in at most 4 KB why the claim is dismissed").At("why")
	}
	rows, err := s.Claims(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(r ClaimRow) bool { return r.Ref == ref })
	if i < 0 {
		return impound.Errorf(impound.KindNotFound, "there is no claim %.64q", ref).WithCure("impound contest list shows them")
	}
	if rows[i].State != "open" {
		return impound.Errorf(impound.KindConflict, "claim %s is %s already", ref, rows[i].State)
	}
	_, err = s.Evidence.Append(ctx, impound.Entry{ID: whatClaimDismiss + ":" + ref, Type: impound.EntryDecision, At: s.now().UTC(), By: by, What: whatClaimDismiss, Name: rows[i].Name, Detail: map[string]string{"ref": ref, "text": why}})
	return err
}
