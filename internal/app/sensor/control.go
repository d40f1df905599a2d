package sensor

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
	"github.com/impound/impound/internal/spool"
)

// PollPath is where a hub answers its sensors: POST with a [Poll], and the
// sensor's token as bearer. 200 brings a bundle, 204 says that nothing is new.
const PollPath = "/v1/poll"

// ShippedHeader tells a sensor up to which number its events stand safely at the
// hub, so that it may delete them when it needs room.
const ShippedHeader = "Impound-Shipped"

// MaxPoll bounds a poll's body, in octets.
const MaxPoll = 64 << 10

// PollWait is how long a hub holds a poll that it has nothing new for.
const PollWait = 20 * time.Second

// Poll is what a sensor asks its hub.
type Poll struct {
	Sensor string `json:"sensor"`
	Hash   string `json:"hash"` // of the newest bundle that came, so that it is not sent again
	Status Status `json:"status"`
}

// Control is where and how a sensor reaches its hub.
type Control struct {
	URL   string
	Token func() (string, error) // read at each try, so that it can be changed
	TLS   *tls.Config            // pins the hub's certificate
}

// CheckControl says whether a hub may be reached at raw: https, or http on this
// machine alone.
func CheckControl(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
		return impound.Errorf(impound.KindInvalid, "“%.100s” is no control URL", raw).WithCure("write https://HOST:PORT")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return impound.Errorf(impound.KindInvalid, "plain http to %s is refused: the token would travel in the open", u.Hostname()).WithCure("write https://, or reach the hub through a tunnel to 127.0.0.1")
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// pull asks the hub for bundles until ctx is done. What fails is said once, and
// tried again: the policy in use goes on until its own end.
func (s *Site) pull(ctx context.Context) {
	c := s.opt.Control
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: c.TLS, Proxy: nil, ForceAttemptHTTP2: false, ResponseHeaderTimeout: PollWait + 10*time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	seen := ""
	if p := s.sink.Policy(); p != nil {
		seen = p.Hash()
	}
	pause := 250 * time.Millisecond
	for ctx.Err() == nil {
		begun := time.Now()
		data, hash, err := s.poll(ctx, client, seen)
		if ctx.Err() != nil {
			return
		}
		if err == nil && data != nil {
			seen = hash // also a refused one: the same bytes need not come again
			_ = s.Take(data, c.URL)
		}
		s.hubSaid(err)
		switch {
		case err != nil:
			pause = min(2*pause, 5*time.Second)
		case time.Since(begun) < 250*time.Millisecond: // a hub that doesn't wait must not be hammered
			pause = 250 * time.Millisecond
		default:
			pause = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(pause, time.Millisecond)):
		}
		pause = max(pause, 250*time.Millisecond)
	}
}

func (s *Site) hubSaid(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		if s.hubFault != "" {
			s.opt.Log.Warn("sensor: the hub answers again")
		}
		s.hubAt, s.hubFault = s.opt.Now().UTC(), ""
		return
	}
	if s.hubFault == "" {
		s.opt.Log.Error("sensor: the hub can't be reached; the policy in use goes on until it ends", "err", err)
	}
	s.hubFault = err.Error()
}

func (s *Site) poll(ctx context.Context, client *http.Client, seen string) (data []byte, hash string, err error) {
	st := s.Status()
	st.Listeners = nil
	body, err := json.Marshal(Poll{Sensor: st.Sensor, Hash: seen, Status: st})
	if err != nil {
		return nil, "", err
	}
	u, err := url.JoinPath(s.opt.Control.URL, PollPath)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, PollWait+2*time.Minute)
	defer cancel()
	// What is news to the hub must not wait for the poll's end.
	news := make(chan struct{})
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		t := time.NewTicker(statusEvery)
		defer t.Stop()
		for {
			select {
			case <-ended:
				return
			case <-t.C:
				if now := s.Status(); now.Spool.Gap != st.Spool.Gap || now.Refused != st.Refused || now.Serial != st.Serial || now.Lapsed != st.Lapsed {
					close(news)
					cancel()
					return
				}
			}
		}
	}()
	defer func() {
		select {
		case <-news:
			data, hash, err = nil, seen, nil
		default:
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	token, err := s.opt.Control.Token()
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	switch n, err := strconv.ParseUint(resp.Header.Get(ShippedHeader), 10, 64); {
	case err != nil || n > math.MaxUint64/2:
	case n > st.Spool.Last && n > s.spool.Stats().Last:
		// All of this folder was lost: the hub has numbers that we never gave.
		s.spool.Raise(n + spool.Margin)
	case n > st.Spool.Shipped && n <= st.Spool.Last:
		if err := s.spool.MarkShipped(n); err != nil {
			s.opt.Log.Error("sensor: couldn't note what the hub has", "err", err)
		}
	}
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil, seen, nil
	case http.StatusOK:
	default:
		return nil, "", fmt.Errorf("the hub answered %s", resp.Status)
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, policy.MaxBytes+1))
	if err != nil {
		return nil, "", fmt.Errorf("the bundle was cut off on its way: %w", err)
	}
	return data, policy.BodyHash(data), nil
}
