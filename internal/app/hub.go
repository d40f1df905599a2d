package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app/sensor"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/sinkhole/policy"
)

const (
	whatSensorEnrol  = "sensor.enrol"
	whatSensorRevoke = "sensor.revoke"
)

// EnrolledSensor is a site that may ask this hub for its policy.
type EnrolledSensor struct {
	Name     string       `json:"name"`
	Answer   []netip.Addr `json:"answer,omitempty"` // what the DNS tells there
	By       string       `json:"by"`
	Enrolled time.Time    `json:"enrolled"`

	token string // hash of the token
}

var sensorName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

// EnrolledSensors gives the sites that were enrolled and not revoked, by name,
// as the evidence log tells: the database has no say.
func (s *System) EnrolledSensors(ctx context.Context) ([]EnrolledSensor, error) {
	type indexed struct {
		at int64
		e  impound.Entry
	}
	var all []indexed
	for _, what := range []string{whatSensorEnrol, whatSensorRevoke} {
		es, err := s.Evidence.Select(ctx, evidence.Filter{What: what})
		if err != nil {
			return nil, err
		}
		for _, e := range es {
			all = append(all, indexed{e.Index, e.Entry})
		}
	}
	slices.SortFunc(all, func(a, b indexed) int { return int(a.at - b.at) })
	have := map[string]EnrolledSensor{}
	for _, x := range all {
		name := x.e.Detail["sensor"]
		if x.e.What == whatSensorRevoke {
			delete(have, name)
			continue
		}
		n := EnrolledSensor{Name: name, By: x.e.By, Enrolled: x.e.At, token: x.e.Detail["token"]}
		for _, a := range strings.Fields(x.e.Detail["answer"]) {
			if ip, err := netip.ParseAddr(a); err == nil {
				n.Answer = append(n.Answer, ip)
			}
		}
		have[name] = n
	}
	out := make([]EnrolledSensor, 0, len(have))
	for _, n := range have {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b EnrolledSensor) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// EnrolSensor enrols the site name, and writes into dir all that it needs: its
// configuration, its token, the hub's certificate to pin, and the key for lure
// hashes. Enrolling again makes a new token; the old one ends. listen and answer
// are for the configuration and the DNS; urlOverride is where the site finds the
// hub, "" meaning hub.url.
func (s *System) EnrolSensor(ctx context.Context, by Identity, name, dir, hubURL string, listen []string, answer []netip.Addr) error {
	if err := s.may(ctx, "EnrolSensor", by.ID); err != nil {
		return err
	}
	if !sensorName.MatchString(name) || name == s.sensorID() {
		return impound.Errorf(impound.KindInvalid, "%q can't be a sensor's name", name).WithCure("take lower-case letters, digits and hyphens, at most 31, and not " + s.sensorID() + ", which is this process")
	}
	if hubURL == "" {
		hubURL = s.cfg.Hub.URL
	}
	if hubURL == "" && strings.HasPrefix(s.cfg.Hub.Listen, "http://") {
		hubURL = s.cfg.Hub.Listen
	}
	if hubURL != "" {
		if err := sensor.CheckControl(hubURL); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); os.IsExist(err) {
		return impound.Errorf(impound.KindConflict, "the folder exists already").At(dir).WithCure("give another with --out, or remove it")
	} else if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't make the folder: %w", err)
	}
	raw := make([]byte, 32)
	rand.Read(raw)
	token := base64.RawURLEncoding.EncodeToString(raw)
	hub, err := s.hubKey()
	if err != nil {
		return err
	}
	lure, err := s.secretKey("lure.key")
	if err != nil {
		return err
	}
	c := Config{Role: RoleSensor, Sinkhole: SinkholeConfig{Sensor: name, Listen: listen, Contact: s.cfg.Sinkhole.Contact, SealTo: s.cfg.Sinkhole.SealTo}}
	c.Control = ControlConfig{HubKey: impound.NewPublicKey(publicOf(hub)), URL: hubURL}
	files := map[string][]byte{"keys/lure.key": lure}
	if hubURL == "" {
		c.Control.PolicyFile = "incoming"
		if err := os.Mkdir(filepath.Join(dir, "incoming"), 0o700); err != nil {
			return err
		}
	} else {
		c.Control.TokenFile = "control.token"
		files["control.token"] = []byte(token + "\n")
		if strings.HasPrefix(hubURL, "https://") && s.cfg.Hub.Cert == "" {
			cert, _, err := s.hubCertificate(hubURL)
			if err != nil {
				return err
			}
			c.Control.CA = "hub.pem"
			files["hub.pem"] = cert
		}
	}
	files[ConfigFile] = c.YAML()
	if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
		return err
	}
	for f, b := range files {
		if err := os.WriteFile(filepath.Join(dir, f), b, 0o600); err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't write the sensor's files: %w", err)
		}
	}
	var addrs []string
	for _, a := range answer {
		addrs = append(addrs, a.String())
	}
	_, err = s.Evidence.Append(ctx, impound.Entry{Type: impound.EntrySystem, At: s.now().UTC(), By: by.ID, What: whatSensorEnrol, Detail: map[string]string{
		"text": fmt.Sprintf("sensor %s was enrolled", name), "sensor": name, "token": tokenHash(token), "answer": strings.Join(addrs, " "),
	}})
	return err
}

// RevokeSensor ends what a site may ask for. What it has, it obeys until that
// policy's own end.
func (s *System) RevokeSensor(ctx context.Context, by Identity, name string) error {
	if err := s.may(ctx, "RevokeSensor", by.ID); err != nil {
		return err
	}
	all, err := s.EnrolledSensors(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(n EnrolledSensor) bool { return n.Name == name }) {
		return impound.Errorf(impound.KindNotFound, "no sensor %s is enrolled", name).WithCure("impound sensor list shows them")
	}
	_, err = s.Evidence.Append(ctx, impound.Entry{Type: impound.EntrySystem, At: s.now().UTC(), By: by.ID, What: whatSensorRevoke, Detail: map[string]string{"text": "sensor " + name + " was revoked", "sensor": name}})
	return err
}

func tokenHash(token string) string {
	return impound.HashBytes([]byte("impound sensor token v1\n" + token))
}

// HubKey is the public half of the key that signs policies here.
func (s *System) HubKey() (impound.PublicKey, error) {
	k, err := s.hubKey()
	if err != nil {
		return "", err
	}
	return impound.NewPublicKey(publicOf(k)), nil
}

// hubCertificate gives the certificate that sensors pin, and its key; it is made
// at first, for the host of hubURL, and kept.
func (s *System) hubCertificate(hubURL string) (certPEM, keyPEM []byte, err error) {
	u, err := url.Parse(hubURL)
	if err != nil {
		return nil, nil, err
	}
	host := u.Hostname()
	base := s.path("keys", "hub-"+strings.NewReplacer(":", "_", "/", "_").Replace(host))
	if b, err := os.ReadFile(base + ".pem"); err == nil {
		cert, rest := pem.Decode(b)
		if key, _ := pem.Decode(rest); cert != nil && key != nil {
			return pem.EncodeToMemory(cert), pem.EncodeToMemory(key), nil
		}
		return nil, nil, impound.Errorf(impound.KindInvalid, "is no certificate with its key").At(base + ".pem").WithCure("restore it; a new one would cut off every sensor that pins it")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	now := s.now()
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: host}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	kder, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder})
	tmp, err := os.CreateTemp(s.path("keys"), ".new-*")
	if err != nil {
		return nil, nil, err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(slices.Clone(certPEM), keyPEM...))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, nil, impound.Errorf(impound.KindUnavailable, "couldn't keep the hub's certificate: %w", err)
	}
	if err := os.Link(tmp.Name(), base+".pem"); os.IsExist(err) { // another process was first
		return s.hubCertificate(hubURL)
	} else if err != nil {
		return nil, nil, impound.Errorf(impound.KindUnavailable, "couldn't keep the hub's certificate: %w", err)
	}
	return certPEM, keyPEM, nil
}

// target is one sensor that bundles are made for: this process's own, or an
// enrolled one that asks.
type target struct {
	name        string
	answer      policy.Answer
	kept        *policy.Kept
	fingerprint string    // of what the newest bundle was made from
	renew       time.Time // when it needs a successor, whatever else happens
	data        []byte    // remote only: the newest bundle
	serial      uint64
	hash        string
	changed     chan struct{} // closed when there is a newer one
}

// hubServer answers enrolled sensors.
type hubServer struct {
	s    *System
	addr string
	http *http.Server

	mu      sync.Mutex
	targets map[string]*target
	tokens  map[string]EnrolledSensor // by hash of the token
	seen    map[string]sensor.Status
	noted   map[string]string // what was recorded last of each sensor
}

// maxPolls bounds how many polls are held together.
const maxPolls = 1024

func (s *System) startHub(ctx context.Context, v *serving) error {
	u, err := url.Parse(s.cfg.Hub.Listen)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", u.Host)
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't listen for sensors: %w", err).At("hub.listen: " + s.cfg.Hub.Listen).WithCure("stop what listens there, or choose another port in " + ConfigFile)
	}
	h := &hubServer{s: s, addr: l.Addr().String(), targets: map[string]*target{}, tokens: map[string]EnrolledSensor{}, seen: map[string]sensor.Status{}, noted: map[string]string{}}
	if u.Scheme == "https" {
		var cert tls.Certificate
		if s.cfg.Hub.Cert != "" {
			cert, err = tls.LoadX509KeyPair(s.cfg.Path(s.opt.State, s.cfg.Hub.Cert), s.cfg.Path(s.opt.State, s.cfg.Hub.Key))
		} else {
			at := s.cfg.Hub.URL
			if at == "" {
				at = s.cfg.Hub.Listen
			}
			var c, k []byte
			if c, k, err = s.hubCertificate(at); err == nil {
				cert, err = tls.X509KeyPair(c, k)
			}
		}
		if err != nil {
			l.Close()
			return impound.Errorf(impound.KindInvalid, "couldn't read the hub's certificate: %w", err).At("hub")
		}
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}})
	}
	mux := http.NewServeMux()
	polls := make(chan struct{}, maxPolls)
	mux.HandleFunc("POST "+sensor.PollPath, func(w http.ResponseWriter, r *http.Request) {
		select {
		case polls <- struct{}{}:
			defer func() { <-polls }()
			h.poll(ctx, w, r)
		default:
			http.Error(w, "too many sensors ask at once", http.StatusServiceUnavailable)
		}
	})
	h.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 5 * time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	v.hubSrv = h
	v.wg.Go(func() {
		if err := h.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the listener for sensors stopped", "err", err)
		}
	})
	return nil
}

func (h *hubServer) poll(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := tokenHash(token)
	h.mu.Lock()
	who, known := h.tokens[sum]
	h.mu.Unlock()
	if !ok || !known || subtle.ConstantTimeCompare([]byte(who.token), []byte(sum)) != 1 {
		http.Error(w, "not an enrolled sensor", http.StatusUnauthorized)
		return
	}
	var q sensor.Poll
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sensor.MaxPoll))
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil || q.Sensor != who.Name {
		http.Error(w, "not a poll of "+who.Name, http.StatusBadRequest)
		return
	}
	h.note(ctx, who.Name, q.Status)
	shipped := h.s.shippedOf(who.Name)
	w.Header().Set(sensor.ShippedHeader, fmt.Sprint(shipped))
	if q.Status.Spool.Gap && shipped > q.Status.Spool.Shipped {
		w.WriteHeader(http.StatusNoContent) // it waits for room
		return
	}
	deadline := time.NewTimer(sensor.PollWait)
	defer deadline.Stop()
	look := time.NewTicker(time.Second) // an import may be another process's
	defer look.Stop()
	for {
		h.mu.Lock()
		t := h.targets[who.Name]
		var data []byte
		var changed chan struct{}
		if t != nil {
			changed = t.changed
			if t.hash != q.Hash {
				data = t.data
			}
		}
		h.mu.Unlock()
		if data != nil {
			h.s.log.Info("a sensor fetches its policy", "sensor", who.Name, "serial", t.serial)
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(data)
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.WriteHeader(http.StatusNoContent)
			return
		case <-r.Context().Done():
			return
		case <-look.C:
			if n := h.s.shippedOf(who.Name); n != shipped {
				w.Header().Set(sensor.ShippedHeader, fmt.Sprint(n))
				w.WriteHeader(http.StatusNoContent)
				return
			}
		case <-deadline.C:
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
}

// note keeps what a sensor says of itself, and records in the evidence log when
// the policy that it obeys, its refusals or a gap in its recording changed. It
// is the sensor's word, and the entry says so.
func (h *hubServer) note(ctx context.Context, name string, st sensor.Status) {
	st.Sensor = name
	gap := st.Spool.Dropped > 0
	what := fmt.Sprintf("%d %s %d %t", st.Serial, st.Hash, st.Refused, gap)
	h.mu.Lock()
	h.seen[name] = st
	same := h.noted[name] == what
	h.noted[name] = what
	h.mu.Unlock()
	if same {
		return
	}
	text := fmt.Sprintf("sensor %s says that it obeys policy %d, %d names", name, st.Serial, st.Names)
	d := map[string]string{"sensor": name, "serial": fmt.Sprint(st.Serial), "hash": clipText(st.Hash), "refused": fmt.Sprint(st.Refused)}
	if n := len(st.Refusals); n > 0 && st.Refused > 0 {
		d["last_refusal"] = clipText(st.Refusals[n-1].Why)
		text += fmt.Sprintf("; it refused %d", st.Refused)
	}
	if gap {
		d["lost"] = fmt.Sprint(st.Spool.Dropped)
		text += fmt.Sprintf("; %d contacts could not be recorded there", st.Spool.Dropped)
	}
	d["text"] = text
	if _, err := h.s.Evidence.Append(ctx, impound.Entry{Type: impound.EntrySystem, At: h.s.now().UTC(), By: "sensor:" + name, What: "sensor.status", Detail: d}); err != nil {
		h.s.log.Error("couldn't record what a sensor obeys", "sensor", name, "err", err)
	}
}

func clipText(s string) string {
	if len(s) > 300 {
		s = s[:300]
	}
	return strings.ToValidUTF8(s, "?")
}

// statuses gives what sensors last said of themselves.
func (h *hubServer) statuses() []sensor.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]sensor.Status, 0, len(h.seen))
	for name, st := range h.seen {
		if h.targets[name] != nil {
			out = append(out, st)
		}
	}
	slices.SortFunc(out, func(a, b sensor.Status) int { return strings.Compare(a.Sensor, b.Sensor) })
	return out
}

// enrolled brings the list of sensors up to date.
func (h *hubServer) enrolled(all []EnrolledSensor) error {
	hub, err := h.s.hubKey()
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens = map[string]EnrolledSensor{}
	for _, n := range all {
		h.tokens[n.token] = n
		a := h.s.policyAnswer()
		if len(n.Answer) > 0 {
			a.A, a.AAAA = nil, nil
			for _, ip := range n.Answer {
				if ip.Is4() {
					a.A = append(a.A, ip)
				} else {
					a.AAAA = append(a.AAAA, ip)
				}
			}
		}
		t := h.targets[n.Name]
		if t == nil {
			// The hub keeps what it gave each sensor, so that serials go on after
			// a restart.
			kept, err := policy.KeepFor(h.s.path("sensors", n.Name), impound.NewPublicKey(publicOf(hub)), n.Name)
			if err != nil {
				return err
			}
			t = &target{name: n.Name, kept: kept, changed: make(chan struct{})}
			h.targets[n.Name] = t
		}
		if fmt.Sprint(t.answer) != fmt.Sprint(a) {
			t.answer, t.fingerprint = a, ""
		}
	}
	for name := range h.targets {
		if !slices.ContainsFunc(all, func(n EnrolledSensor) bool { return n.Name == name }) {
			delete(h.targets, name)
		}
	}
	return nil
}

// publish makes the next bundle for t when what it was made from is another, and
// lets polls that wait have it.
func (h *hubServer) publish(ctx context.Context, t *target, ms []*impound.Mandate, fp string, now time.Time) error {
	h.mu.Lock()
	same, answer := t.fingerprint == fp && now.Before(t.renew), t.answer
	h.mu.Unlock()
	if same {
		return nil
	}
	hub, err := h.s.hubKey()
	if err != nil {
		return err
	}
	bundle, _, err := h.s.makeBundle(ctx, t.kept, t.name, ms, answer, now, policy.Options{Key: hub})
	if err != nil {
		return err
	}
	p, err := t.kept.Accept(bundle.Data, now)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t.fingerprint, t.renew = fp, now.Add(h.s.cfg.policyValid()/2)
	t.data, t.serial, t.hash = bundle.Data, bundle.Serial, p.Hash()
	close(t.changed)
	t.changed = make(chan struct{})
	return nil
}

// makeBundle makes a sensor's next bundle and records that it is about to be
// given out: the intent before the act. It gives the entry's id.
func (s *System) makeBundle(ctx context.Context, kept *policy.Kept, name string, ms []*impound.Mandate, answer policy.Answer, now time.Time, opt policy.Options) (*policy.Bundle, string, error) {
	serial, err := kept.Serial()
	if err != nil {
		return nil, "", err
	}
	if serial == math.MaxUint64 {
		return nil, "", impound.Errorf(impound.KindRefused, "the highest serial seen is the highest there is: somebody wrote it there, and no bundle could follow").At(s.path("policy")).WithCure("look who had access, then move that folder away: the policy is made anew from the evidence log")
	}
	if len(answer.NS) == 0 {
		answer.NS = orderedNS(ms, now)
	}
	opt.Serial, opt.Now, opt.Valid, opt.Sensor, opt.Answer = serial+1, now, s.cfg.policyValid(), name, answer
	bundle, err := policy.Build(ms, opt)
	if err != nil {
		return nil, "", err
	}
	detail := map[string]string{
		"text":   fmt.Sprintf("policy %d for sensor %s: %d names under %d orders, until %s", bundle.Serial, name, bundle.Names, bundle.Orders, bundle.NotAfter.UTC().Format(time.RFC3339)),
		"serial": fmt.Sprint(bundle.Serial), "hash": impound.HashBytes(bundle.Data), "sensor": name,
	}
	id := "policy:" + name + ":" + detail["hash"]
	if _, err := s.Evidence.Append(ctx, impound.Entry{ID: id, Type: impound.EntryIntent, By: "system", What: "sinkhole.policy", Detail: detail}); err != nil {
		return nil, "", fmt.Errorf("couldn't record the policy, so it is not put in force: %w", err)
	}
	return bundle, id, nil
}

// orderedNS gives the name servers that the orders in force delegate to: what the
// DNS tells where the configuration names none, so that parent and child agree.
// More than 13 nobody needs.
func orderedNS(ms []*impound.Mandate, now time.Time) []impound.Name {
	seen := map[impound.Name]bool{}
	for _, m := range ms {
		if !m.InForce(now) {
			continue
		}
		for _, n := range m.Names() {
			if acts, ok := m.Acts(n); ok && acts.Sinkhole {
				for _, ns := range acts.Nameservers {
					seen[ns] = true
				}
			}
		}
	}
	out := slices.SortedFunc(maps.Keys(seen), func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) })
	return out[:min(len(out), 13)]
}

// ExportPolicy makes the bundle for an enrolled sensor that can't reach the hub:
// somebody carries the file.
func (s *System) ExportPolicy(ctx context.Context, name string) ([]byte, error) {
	if err := s.may(ctx, "ExportPolicy", ""); err != nil {
		return nil, err
	}
	all, err := s.EnrolledSensors(ctx)
	if err != nil {
		return nil, err
	}
	h := &hubServer{s: s, targets: map[string]*target{}}
	if err := h.enrolled(all); err != nil {
		return nil, err
	}
	t := h.targets[name]
	if t == nil {
		return nil, impound.Errorf(impound.KindNotFound, "no sensor %s is enrolled", name).WithCure("impound sensor list shows them")
	}
	// A sensor answers for sealed orders too: the bundle goes to a machine.
	ms, err := s.Casework.Mandates(impound.AsSystem(ctx))
	if err != nil && impound.KindOf(err) != impound.KindPartial {
		return nil, err
	}
	if ms, err = s.withoutReleased(ctx, ms); err != nil {
		return nil, err
	}
	err = h.publish(ctx, t, ms, "export", s.now())
	return t.data, err
}
