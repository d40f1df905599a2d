package app

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/evidence/timestamp"
)

// Sealers are who is asked to attest the evidence log.
type Sealers struct {
	Witnesses []Witness
	TSAs      []string       // URLs of RFC 3161 authorities
	TSARoots  *x509.CertPool // nil: their signatures are proven, not whose they are
}

// Witness is a C2SP tlog-witness: its submission prefix and its public key.
type Witness struct{ URL, Key string }

// NewWitness reads "URL=KEY".
func NewWitness(text string) (Witness, error) {
	u, key, ok := strings.Cut(text, "=")
	if !ok {
		return Witness{}, impound.Errorf(impound.KindInvalid, "%.120q names no witness", text).WithCure("write URL=KEY")
	}
	return Witness{u, key}, errors.Join(plainNetwork(u), evidence.CheckWitnessKey(key))
}

// ReadRoots reads a PEM file of roots; nil for no file.
func ReadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, impound.Errorf(impound.KindInvalid, "it holds no certificate").At(path).WithCure("give a PEM file of the authority's root")
	}
	return pool, nil
}

// sealers gives whom the configuration names.
func (c *Config) sealers(state string) (Sealers, error) {
	who := Sealers{TSAs: c.Seal.TSAs}
	var faults []error
	for _, w := range c.Seal.Witnesses {
		x, err := NewWitness(w)
		who.Witnesses, faults = append(who.Witnesses, x), append(faults, err)
	}
	for _, u := range c.Seal.TSAs {
		faults = append(faults, plainNetwork(u))
	}
	file := c.Seal.TSACA
	if file != "" && !filepath.IsAbs(file) {
		file = filepath.Join(state, file)
	}
	var err error
	who.TSARoots, err = ReadRoots(file)
	return who, errors.Join(append(faults, err)...)
}

// Sealers gives whom the configuration asks to attest the log; the error is
// KindInvalid where it names nobody.
func (s *System) Sealers() (Sealers, error) {
	who, err := s.cfg.sealers(s.opt.State)
	if err == nil && len(who.Witnesses)+len(who.TSAs) == 0 {
		err = impound.Errorf(impound.KindInvalid, "nobody to ask: name a witness or a timestamp authority").WithCure("give --witness or --tsa, or fill in seal: in " + ConfigFile)
	}
	return who, err
}

// sealLoop has the log attested every so often. What fails is logged and
// recorded, the same fault once a day: a log that nobody attests looks like any
// other, so somebody must be told.
func (s *System) sealLoop(ctx context.Context, every time.Duration) {
	wait := min(custodyStart, every)
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		wait = every
		s.sealOnce(ctx)
	}
}

func (s *System) sealOnce(ctx context.Context) {
	who, err := s.Sealers()
	if err == nil {
		_, err = s.SealEvidence(ctx, "system", who)
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	s.log.Error("the evidence log could not be attested by everybody", "err", err)
	now := s.now().UTC()
	if _, err := s.Evidence.Append(ctx, impound.Entry{
		ID: "seal-fault/" + now.Format(time.DateOnly), Type: impound.EntrySystem, At: now, By: "system", What: "evidence.seal-fault",
		Detail: map[string]string{"text": err.Error(), "command": "impound evidence seal"},
	}); err != nil {
		s.log.Error("couldn't record that the log was not attested", "err", err)
	}
}

const sealTimeout = 15 * time.Second

// sealClient follows no redirect: whom to ask was configured.
var sealClient = &http.Client{Timeout: sealTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// SealEvidence asks each witness and timestamp authority to attest the log as
// it stands, and keeps what verifies. Only the checkpoint (name, size, root and
// our signature) and hashes leave the machine. All are asked; the error joins
// what failed, and the seals that were got are given beside it.
func (s *System) SealEvidence(ctx context.Context, by string, who Sealers) ([]evidence.Seal, error) {
	if err := s.may(ctx, "SealEvidence", by); err != nil {
		return nil, err
	}
	if len(who.Witnesses)+len(who.TSAs) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "nobody to ask: name a witness or a timestamp authority")
	}
	for _, w := range who.Witnesses {
		if err := errors.Join(plainNetwork(w.URL), evidence.CheckWitnessKey(w.Key)); err != nil {
			return nil, err
		}
	}
	for _, u := range who.TSAs {
		if err := plainNetwork(u); err != nil {
			return nil, err
		}
	}
	cp := s.Evidence.Checkpoint()
	var seals []evidence.Seal
	var faults []error
	keep := func(seal evidence.Seal, err error) {
		if err != nil {
			faults = append(faults, err)
		} else {
			seals = append(seals, seal)
		}
	}
	for _, w := range who.Witnesses {
		answer, err := s.askWitness(ctx, w, cp)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		keep(s.Evidence.KeepCosigned(ctx, by, w.URL, cp, answer, w.Key))
	}
	for _, u := range who.TSAs {
		req, nonce, err := timestamp.Request(cp)
		if err != nil {
			return seals, err
		}
		status, media, answer, err := post(ctx, u, "application/timestamp-query", req)
		if err == nil && (status != http.StatusOK || !strings.HasPrefix(media, "application/timestamp-reply")) {
			err = refusedSeal(u, status, answer)
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		keep(s.Evidence.KeepTimestamp(ctx, by, u, cp, answer, who.TSARoots, nonce))
	}
	return seals, errors.Join(faults...)
}

// askWitness asks with an old size of 0 first, and again with the size that the
// witness says it knows (C2SP tlog-witness).
func (s *System) askWitness(ctx context.Context, w Witness, cp []byte) ([]byte, error) {
	u := strings.TrimSuffix(w.URL, "/") + "/add-checkpoint"
	var old int64
	for range 3 { // another process may seal at the same time
		body, err := s.Evidence.WitnessRequest(cp, old)
		if err != nil {
			return nil, err
		}
		status, media, answer, err := post(ctx, u, "text/plain; charset=utf-8", body)
		if err != nil {
			return nil, err
		}
		if status == http.StatusOK {
			return answer, nil
		}
		size, err := strconv.ParseInt(strings.TrimSuffix(string(answer), "\n"), 10, 64)
		if status != http.StatusConflict || !strings.HasPrefix(media, "text/x.tlog.size") || err != nil || size == old {
			return nil, refusedSeal(w.URL, status, answer)
		}
		old = size
	}
	return nil, impound.Errorf(impound.KindConflict, "the witness kept changing its mind about the log's size").At(w.URL).WithCure("try again")
}

func refusedSeal(u string, status int, answer []byte) error {
	e := impound.Errorf(impound.KindUnavailable, "couldn't seal the evidence log: the server answers %d: %.120q", status, answer).At(u)
	switch status {
	case http.StatusNotFound, http.StatusForbidden:
		return e.WithCure("give the witness this log's key, the line in log.vkey of the evidence folder")
	case http.StatusConflict, http.StatusUnprocessableEntity:
		return e.WithCure("the witness saw another log by this name: compare with a backup, by impound evidence verify --since")
	}
	return e
}

// post sends body; at most timestamp.MaxAnswer octets of an answer are read.
func post(ctx context.Context, u, media string, body []byte) (int, string, []byte, error) {
	fault := func(err error) (int, string, []byte, error) {
		return 0, "", nil, impound.Errorf(impound.KindUnavailable, "couldn't seal the evidence log: %w", err).At(u).WithCure("try again later: the log itself is whole")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(body))
	if err != nil {
		return fault(err)
	}
	req.Header.Set("Content-Type", media)
	resp, err := sealClient.Do(req)
	if err != nil {
		return fault(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, timestamp.MaxAnswer+1))
	if err == nil && len(b) > timestamp.MaxAnswer {
		err = fmt.Errorf("the answer is longer than %d octets", timestamp.MaxAnswer)
	}
	if err != nil {
		return fault(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), b, nil
}

// plainNetwork refuses to send anything in the clear off this machine.
func plainNetwork(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return impound.Errorf(impound.KindInvalid, "%.120q is no URL to ask", raw).WithCure("write https://HOST/..., or http:// for this machine alone")
	}
	return nil
}
