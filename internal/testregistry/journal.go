package testregistry

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/impound/impound"
)

// The journal is one JSON line a record. A record holds the whole new state of
// what it changes, so that replaying is putting. Records of one commit are
// written at once and fsynced before anybody is told; a last line without its
// end was never acknowledged and is cut off at the start.
type record struct {
	Seq    int64     `json:"seq"`
	At     time.Time `json:"at"`
	Domain *Domain   `json:"domain,omitempty"`
	Host   *Host     `json:"host,omitempty"`
	Gone   string    `json:"gone,omitempty"` // a host that was deleted
	Free   string    `json:"free,omitempty"` // a domain that came free
	Person *Contact  `json:"contact,omitempty"`
	Msg    *message  `json:"msg,omitempty"`
	Ack    string    `json:"ack,omitempty"` // a message that was taken off its queue
	Op     *Op       `json:"op,omitempty"`
	More   bool      `json:"more,omitempty"` // the commit goes on with the next record
}

// message waits in an account's poll queue.
type message struct {
	ID     string        `json:"id"`
	Client string        `json:"client"`
	Date   time.Time     `json:"date"`
	Text   string        `json:"text"`
	Done   *pendingReply `json:"done,omitempty"`
}

type pendingReply struct {
	Name   impound.Name `json:"name"`
	OK     bool         `json:"ok"`
	ClTRID string       `json:"cltrid,omitempty"`
	SvTRID string       `json:"svtrid"`
}

// pending is an update that was answered 1001.
type pending struct {
	Due    time.Time `json:"due"`
	Client string    `json:"client"`
	ClTRID string    `json:"cltrid,omitempty"`
	SvTRID string    `json:"svtrid"`
	Deny   bool      `json:"deny,omitempty"`
	Update update    `json:"update"`
}

// version is a domain as it was from an instant on.
type version struct {
	at time.Time
	d  *Domain
}

type state struct {
	f        *os.File
	seq      int64
	changed  time.Time
	domains  map[impound.Name]*Domain
	hosts    map[impound.Name]*Host
	uses     map[impound.Name]int // domains delegated to a host
	past     map[impound.Name][]version
	queues   map[string][]message
	history  []Op
	contacts map[string]*Contact
	waiting  map[impound.Name]bool // domains with a pending update
	deleted  map[impound.Name]bool // domains that will come free
	nWaiting atomic.Int64          // of both
	lastMsg  int64
	broken   error
}

func (r *Registry) openJournal() error {
	r.st.domains, r.st.hosts, r.st.uses = map[impound.Name]*Domain{}, map[impound.Name]*Host{}, map[impound.Name]int{}
	r.st.past, r.st.queues, r.st.waiting = map[impound.Name][]version{}, map[string][]message{}, map[impound.Name]bool{}
	r.st.contacts, r.st.deleted = map[string]*Contact{}, map[impound.Name]bool{}
	path := filepath.Join(r.cfg.Dir, "journal.jsonl")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("couldn't open the practice registry's journal: %w", err)
	}
	r.st.f = f
	in := bufio.NewReaderSize(f, 1<<16)
	var good int64 // the end of the last whole commit
	var at int64
	var batch []record
	for line := 1; ; line++ {
		b, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // what is left was never acknowledged
		}
		if err != nil {
			return fmt.Errorf("couldn't read the practice registry's journal: %w", err)
		}
		at += int64(len(b))
		var rec record
		if err := json.Unmarshal(b, &rec); err != nil {
			return impound.Errorf(impound.KindInvalid, "the journal is damaged: %w", err).At(path + ":" + strconv.Itoa(line)).WithCure("the practice state is lost from here on: move the folder away to begin anew")
		}
		batch = append(batch, rec)
		if !rec.More {
			for _, rec := range batch {
				r.apply(rec)
			}
			batch, good = batch[:0], at
		}
	}
	if err := f.Truncate(good); err != nil {
		return fmt.Errorf("couldn't cut the practice registry's journal: %w", err)
	}
	if _, err := f.Seek(good, io.SeekStart); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	dir, err := os.Open(r.cfg.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// commit writes recs as one, syncs, and applies them. The caller holds mu. After
// a failure to write nothing more is accepted: what is on disk is unknown.
func (r *Registry) commit(now time.Time, recs ...record) error {
	if len(recs) == 0 {
		return nil
	}
	if r.st.broken != nil {
		return r.st.broken
	}
	if r.st.f == nil {
		return errors.New("the practice registry is closed")
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	seq := r.st.seq
	for i := range recs {
		seq++
		recs[i].Seq, recs[i].At, recs[i].More = seq, now, i+1 < len(recs)
		if op := recs[i].Op; op != nil {
			op.Seq, op.Time = seq, now
		}
		if err := enc.Encode(recs[i]); err != nil {
			return err
		}
	}
	_, err := r.st.f.Write(b.Bytes())
	if err == nil {
		err = r.st.f.Sync()
	}
	if err != nil {
		r.st.broken = fmt.Errorf("couldn't write the practice registry's journal: %w", err)
		return r.st.broken
	}
	for _, rec := range recs {
		r.apply(rec)
	}
	return nil
}

// apply puts one record into the state. The caller holds mu, or is alone.
func (r *Registry) apply(rec record) {
	st := &r.st
	st.seq, st.changed = rec.Seq, rec.At
	if d := rec.Domain; d != nil {
		old := st.domains[d.Name]
		if old != nil {
			for _, n := range old.NS {
				st.uses[n]--
			}
		}
		for _, n := range d.NS {
			st.uses[n]++
		}
		if lag := max(r.cfg.Faults.RDAPLag, r.cfg.Faults.ZoneLag); lag > 0 {
			vs := append(st.past[d.Name], version{rec.At, d})
			for len(vs) > 1 && !vs[1].at.After(rec.At.Add(-lag)) {
				vs = vs[1:]
			}
			st.past[d.Name] = slices.Clone(vs)
		}
		st.domains[d.Name] = d
		if st.contacts[d.Registrant] == nil { // a journal of before there were contacts
			st.contacts[d.Registrant] = &Contact{ID: d.Registrant, ROID: "C0-PRACT", Kind: "int", Name: "Practice registrant", City: "Nowhere", Country: "ZZ", Email: "nobody@invalid.example", Sponsor: d.Registrar, Created: d.Created}
		}
		if d.Pending != nil && !st.waiting[d.Name] {
			st.waiting[d.Name] = true
			st.nWaiting.Add(1)
		} else if d.Pending == nil && st.waiting[d.Name] {
			delete(st.waiting, d.Name)
			st.nWaiting.Add(-1)
		}
		if !d.Deleted.IsZero() && !st.deleted[d.Name] {
			st.deleted[d.Name] = true
			st.nWaiting.Add(1)
		}
	}
	if c := rec.Person; c != nil {
		st.contacts[c.ID] = c
	}
	if rec.Free != "" {
		r.free(rec.Free)
	}
	if h := rec.Host; h != nil {
		st.hosts[h.Name] = h
	}
	if rec.Gone != "" {
		for n := range st.hosts {
			if n.String() == rec.Gone {
				delete(st.hosts, n)
			}
		}
	}
	if m := rec.Msg; m != nil {
		st.queues[m.Client] = append(st.queues[m.Client], *m)
		if n, err := strconv.ParseInt(m.ID, 10, 64); err == nil {
			st.lastMsg = max(st.lastMsg, n)
		}
	}
	if rec.Ack != "" {
		for c, q := range st.queues {
			st.queues[c] = slices.DeleteFunc(q, func(m message) bool { return m.ID == rec.Ack })
		}
	}
	if rec.Op != nil {
		st.history = append(st.history, *rec.Op)
	}
}

// asOf gives a domain as it was lag ago; nil when there was none. The caller
// holds mu for reading.
func (r *Registry) asOf(n impound.Name, lag time.Duration) *Domain {
	if lag <= 0 {
		return r.st.domains[n]
	}
	when := r.cfg.Now().Add(-lag)
	vs := r.st.past[n]
	if len(vs) == 0 {
		return r.st.domains[n]
	}
	for _, v := range slices.Backward(vs) {
		if !v.at.After(when) {
			return v.d
		}
	}
	return vs[0].d // as registered: practice names are there from the start
}

// settle does the pending updates that are due.
func (r *Registry) settle() {
	if r.st.nWaiting.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	if err := r.purge(now); err != nil {
		r.log.Error("couldn't let deleted names come free", "err", err)
		return
	}
	for n := range r.st.waiting {
		old := r.st.domains[n]
		p := old.Pending
		if now.Before(p.Due) {
			continue
		}
		d := old.clone()
		d.Pending = nil
		op := &Op{Client: p.Client, ClTRID: p.ClTRID, SvTRID: p.SvTRID, Command: "domain:update", Name: n.String(), Code: 1000}
		if p.Update.Renew > 0 {
			op.Command = "domain:renew"
		}
		ok := !p.Deny
		if ok {
			changes, fault := r.change(&d, p.Update)
			if ok = fault == nil; ok {
				if d.Updated, d.UpdatedBy, op.Changes = now, p.Client, changes; p.Update.Renew > 0 {
					d.Renewed = now
				}
			} else {
				d = old.clone()
				d.Pending = nil
			}
		}
		text := "Pending update completed."
		rec := record{Domain: &d, Op: op}
		if !ok {
			text, rec.Op = "Pending update denied.", nil
		}
		msg := &message{ID: r.msgID(), Client: p.Client, Date: now, Text: text, Done: &pendingReply{Name: n, OK: ok, ClTRID: p.ClTRID, SvTRID: p.SvTRID}}
		if err := r.commit(now, rec, record{Msg: msg}); err != nil {
			r.log.Error("couldn't settle a pending update", "err", err)
			return
		}
	}
}

// roid and msgID give the next id. The caller holds mu.
func (r *Registry) roid(kind string) string {
	r.st.lastMsg++
	return fmt.Sprintf("%s%d-PRACT", kind, r.st.seq*1000+r.st.lastMsg%1000)
}

// trid gives the next server transaction id. The caller holds mu.
func (r *Registry) trid() string {
	r.nTRID++
	return fmt.Sprintf("PRACT-%s-%d", r.boot, r.nTRID)
}

func (r *Registry) msgID() string {
	r.st.lastMsg++
	return strconv.FormatInt(r.st.lastMsg, 10)
}
