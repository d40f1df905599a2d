package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

// Source is where cases and contacts come from.
type Source interface {
	// Facts gives a case with its orders, or KindNotFound.
	Facts(ctx context.Context, caseID string) (Facts, error)
	// Contacts calls fn with every contact of the case, in any order.
	Contacts(ctx context.Context, caseID string, fn func(impound.Contact) error) error
}

// Log is the evidence log. Append is idempotent by the entry's id.
type Log interface {
	Append(ctx context.Context, e impound.Entry) (int64, error)
}

// Options of New. Dir, Source, Log and Reporter must be set.
type Options struct {
	Dir      string // STATE/reports; made with mode 0700
	Source   Source
	Log      Log
	Reporter Reporter
	Sink     impound.Network // of the sinkhole, for the report's dst_ columns
	Unclear  bool            // also report unclear contacts
	People   impound.Keyring // nil: whoever calls has been checked
	Now      func() time.Time
	Logger   *slog.Logger
}

// Service prepares reports. It is safe for concurrent use, also by several
// processes on one folder.
type Service struct {
	opt Options
	mu  sync.Mutex
}

// New checks the options.
func New(opt Options) (*Service, error) {
	if opt.Dir == "" || opt.Source == nil || opt.Log == nil {
		return nil, impound.Errorf(impound.KindInternal, "notify lacks its folder, source or log")
	}
	if opt.Reporter.Org == "" || opt.Reporter.Mail == "" || opt.Reporter.Domain == "" {
		return nil, impound.Errorf(impound.KindInvalid, "the reporter lacks org, mail or domain").At("reporter").WithCure("say who tells: a network owner must be able to call back")
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{opt: opt}, nil
}

// File is one file of a prepared report.
type File struct {
	Name string `json:"name"`
	Hash string `json:"hash"` // "sha256:..."
	Size int64  `json:"size"`
}

// Prepared is one network owner's report, as it lies in its folder. It holds no
// victim's address itself.
type Prepared struct {
	ID       string          `json:"id"`
	Case     string          `json:"case"`
	Network  impound.Network `json:"network"` // Prefix is not set: an owner has many
	To       []string        `json:"to"`
	Subject  string          `json:"subject"`
	TLP      impound.TLP     `json:"tlp"`
	Victims  int             `json:"victims"`  // distinct addresses
	Contacts int             `json:"contacts"` // rows of the report
	First    time.Time       `json:"first"`
	Last     time.Time       `json:"last"`
	Names    []string        `json:"names"`  // seized names, defanged
	Orders   []string        `json:"orders"` // the orders under which they were recorded
	Made     time.Time       `json:"made"`
	By       string          `json:"by"`
	Files    []File          `json:"files"`
	Covers   []string        `json:"covers"`             // event ids
	Gaps     []impound.Gap   `json:"gaps,omitempty"`     // times of which the report is incomplete
	Problems []string        `json:"problems,omitempty"` // why it can't be sent as it is
	Sent     *Sent           `json:"sent,omitempty"`
	Sending  bool            `json:"sending,omitempty"` // a try to send it broke off: it may have arrived
	Purged   bool            `json:"purged,omitempty"`  // its files are gone: retention ended
	Dir      string          `json:"-"`                 // its folder
}

// Sent says how a report went out.
type Sent struct {
	At  time.Time `json:"at"`
	By  string    `json:"by"`
	How string    `json:"how"`
}

// Message gives the path of the rendered message.
func (p Prepared) Message() string { return filepath.Join(p.Dir, "message.eml") }

// lock keeps other writers out, those of other processes too (flock).
func (s *Service) lock() (func(), error) {
	s.mu.Lock()
	fail := func(err error) (func(), error) {
		s.mu.Unlock()
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't lock the reports' folder: %w", err).At(s.opt.Dir).WithCure("check that it is writable")
	}
	if err := os.MkdirAll(s.opt.Dir, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(filepath.Join(s.opt.Dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fail(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return fail(err)
	}
	return func() { f.Close(); s.mu.Unlock() }, nil
}

// sweep deletes what a crash left half made or half deleted: it holds
// addresses. The lock is held, so nobody is at it.
func (s *Service) sweep() {
	for _, p := range []string{".new-*", ".gone-*"} {
		dirs, _ := filepath.Glob(filepath.Join(s.opt.Dir, "*", p))
		for _, d := range dirs {
			if err := os.RemoveAll(d); err != nil {
				s.opt.Logger.Warn("couldn't delete the rest of a report", "folder", d, "error", err)
			}
		}
	}
}

func (s *Service) may(by string) error {
	if by == "" {
		return impound.Errorf(impound.KindAuth, "nobody asks").At("by").WithCure("say who you are: --as PERSON")
	}
	if s.opt.People == nil {
		return nil
	}
	if p, ok := s.opt.People.Person(by); !ok || !p.Has(impound.RoleNotifier) {
		return impound.Errorf(impound.KindAuth, "%s is no %s", by, impound.RoleNotifier).WithCure("have an admin enrol a notifier")
	}
	return nil
}

// Prepare writes one report per network owner about the contacts of the case
// that no sent report holds yet, and gives all reports of the case that wait to be
// sent. Nothing is sent.
//
// A contact is reported when it was recorded under an order of the case, while
// that was in force, and the order is not sealed now. An order that lapsed since
// does not stand in the way: what was lawfully recorded may be told, and the
// message says so. A case marked TLP:RED is refused.
//
// It is idempotent: the same contacts give the same id, whose files are kept as
// they are. A waiting report that does not come out again is deleted. Files are
// written in a folder of their own (0700), fsynced and renamed into place, after the
// intent and before the result were appended to the evidence log. The log gets
// the network's name, numbers and the files' hashes; no address.
//
// A report without a recipient is written too, with the problem listed in it.
// When a message breaks a rule of [Check], nothing is written for that network,
// the others go on, and the error is of KindPartial.
func (s *Service) Prepare(ctx context.Context, by, caseID string) ([]Prepared, error) {
	if err := s.may(by); err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	s.sweep()
	f, err := s.opt.Source.Facts(ctx, caseID)
	if err != nil {
		return nil, fmt.Errorf("couldn't read case %s: %w", caseID, err)
	}
	if !f.Case.TLP.Within(impound.TLPAmberStrict) {
		return nil, impound.Errorf(impound.KindRefused, "case %s is marked TLP:RED: nobody outside may be told of its names", caseID).WithCure("have its owner mark it amber+strict or below first")
	}
	now := s.opt.Now().UTC()
	have, err := s.list(caseID)
	if err != nil {
		return nil, err
	}
	covered := map[string]bool{}
	for _, p := range have {
		if p.Sent != nil || p.Sending { // or it may have been sent
			for _, id := range p.Covers {
				covered[id] = true
			}
		}
	}
	orders := map[string]impound.Order{}
	for _, o := range f.Orders {
		orders[o.ID] = o
	}
	type owner struct {
		asn         uint32
		name, abuse string
	}
	groups := map[owner][]impound.Contact{}
	nets := map[owner]impound.Network{}
	v4, v6 := ReportInfo{Unclear: s.opt.Unclear, Source: s.opt.Reporter.Org, Sink: s.opt.Sink}, ReportInfo{V6: true, Unclear: s.opt.Unclear, Source: s.opt.Reporter.Org, Sink: s.opt.Sink}
	err = s.opt.Source.Contacts(ctx, caseID, func(c impound.Contact) error {
		if c.Case != caseID || !v4.Reportable(c) && !v6.Reportable(c) || covered[EventID(c.Event)] {
			return nil
		}
		o, ok := orders[c.Order]
		if !ok || c.At.Before(o.From) || !c.At.Before(o.Until) || now.Before(o.SealedUntil) {
			return nil
		}
		k := owner{c.Network.ASN, c.Network.Name, strings.ToLower(c.Network.Abuse)}
		n := c.Network
		n.Prefix = nets[k].Prefix
		nets[k] = n
		groups[k] = append(groups[k], c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read the contacts of case %s: %w", caseID, err)
	}
	keys := make([]owner, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b owner) int {
		return cmp.Or(cmp.Compare(a.asn, b.asn), cmp.Compare(a.name, b.name), cmp.Compare(a.abuse, b.abuse))
	})
	var out []Prepared
	var failed []error
	for _, k := range keys {
		cs := groups[k]
		slices.SortFunc(cs, func(a, b impound.Contact) int {
			return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Sensor, b.Sensor), cmp.Compare(a.Seq, b.Seq))
		})
		p, err := s.prepare(ctx, by, f, nets[k], cs, v4, v6, now, have)
		var perr impound.Problems
		switch {
		case errors.As(err, &perr):
			failed = append(failed, fmt.Errorf("report for %s: %w", ownerName(nets[k]), err))
		case err != nil:
			return out, err
		default:
			out = append(out, p)
		}
	}
	// A waiting report that did not come out again has had its day: it lacks a
	// contact, or holds one that is no victim by what is known now. It goes,
	// after the new ones are safe.
	fresh := map[string]bool{}
	for _, p := range out {
		fresh[p.ID] = true
	}
	for _, p := range have {
		if p.Sent != nil || p.Sending || fresh[p.ID] {
			continue
		}
		if err := s.drop(ctx, p, by, "replaced by what is known now"); err != nil {
			return out, err
		}
	}
	if len(failed) > 0 {
		return out, impound.Errorf(impound.KindPartial, "%d of %d reports were not prepared: %w", len(failed), len(keys), errors.Join(failed...)).WithCure("see each for what to do")
	}
	return out, nil
}

func ownerName(n impound.Network) string {
	switch {
	case n.Name != "" && n.ASN != 0:
		return fmt.Sprintf("%s (AS%d)", oneLine(n.Name), n.ASN)
	case n.Name != "":
		return oneLine(n.Name)
	case n.ASN != 0:
		return fmt.Sprintf("AS%d", n.ASN)
	}
	return "an unknown network"
}

func (s *Service) prepare(ctx context.Context, by string, f Facts, n impound.Network, cs []impound.Contact, v4, v6 ReportInfo, now time.Time, have []Prepared) (Prepared, error) {
	p := Prepared{Case: f.Case.ID, Network: n, Contacts: len(cs), First: cs[0].At, Last: cs[len(cs)-1].At, Made: now, By: by, To: []string{}}
	if p.Network.Name == "" {
		p.Network.Name = ownerName(n)
	}
	as := ""
	if n.ASN != 0 {
		as = fmt.Sprintf("as%d", n.ASN)
	}
	var files []Attachment
	victims, names, orders := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range cs {
		p.Covers = append(p.Covers, EventID(c.Event))
		if c.Class == impound.ClassVictim {
			victims[c.Src.Addr().Unmap().String()] = true
		}
		if z, err := impound.ParseName(c.Zone); err == nil {
			names[z.Defanged()] = true
		}
		orders[c.Order] = true
	}
	p.Victims, p.Names, p.Orders = len(victims), sortedKeys(names), sortedKeys(orders)
	var sum bytes.Buffer
	fmt.Fprintf(&sum, "%s\x00%s\x00", f.Case.ID, n.Abuse)
	infos := []ReportInfo{v4, v6}
	bodies := make([][]byte, len(infos))
	for i, info := range infos {
		var b bytes.Buffer
		rows, err := Report(&b, cs, info)
		if err != nil {
			return p, err
		}
		if rows > 0 {
			bodies[i] = b.Bytes()
			sum.Write(bodies[i])
		}
	}
	var gapsFile []byte
	if len(f.Gaps) > 0 {
		gapsFile = gapsCSV(f.Gaps)
		sum.Write(gapsFile)
		p.Gaps = f.Gaps
	}
	// Neither id nor file name tells the case: its id may name the actor.
	h := strings.TrimPrefix(impound.HashBytes(sum.Bytes()), "sha256:")[:12]
	p.ID = strings.Join(slices.DeleteFunc([]string{"R", as, h}, func(x string) bool { return x == "" }), "-")
	for i, info := range infos {
		if bodies[i] != nil {
			files = append(files, Attachment{info.FileName(p.Last, p.Network.Name, as, "r"+h), "text/csv", bodies[i]})
		}
	}
	if gapsFile != nil {
		files = append(files, Attachment{GapsFile, "text/csv", gapsFile})
	}
	p.Dir = filepath.Join(s.opt.Dir, folder(f.Case.ID), p.ID)
	for _, old := range have {
		if old.ID == p.ID && s.whole(old) {
			// Its result may be missing when we died between the two.
			return old, s.result(ctx, old)
		}
	}

	m := Compose(p.ID, s.opt.Reporter, p.Network, cs, f, now)
	m.Attachments = files
	var fatal impound.Problems
	for _, e := range Check(m, f) {
		if e.Where == "to" && len(m.To) == 0 {
			p.Problems = append(p.Problems, e.Error())
			continue
		}
		fatal = append(fatal, e)
	}
	if len(fatal) > 0 {
		return p, fatal
	}
	p.To, p.Subject, p.TLP = append(p.To, m.To...), m.Subject, m.TLP
	eml, err := m.Render(now)
	if err != nil {
		return p, err
	}
	var x bytes.Buffer
	if k, err := XARF(&x, cs, s.opt.Reporter, f.Gaps...); err != nil {
		return p, err
	} else if k > 0 {
		files = append(files, Attachment{"xarf.jsonl", "application/x-ndjson", x.Bytes()})
	}
	files = append(files, Attachment{"message.eml", "message/rfc822", eml})
	for _, a := range files {
		p.Files = append(p.Files, File{a.Name, impound.HashBytes(a.Data), int64(len(a.Data))})
	}
	detail := map[string]string{"report": p.ID, "network": ownerName(n), "victims": fmt.Sprint(p.Victims), "contacts": fmt.Sprint(p.Contacts), "tlp": string(p.TLP), "orders": strings.Join(p.Orders, " ")}
	for _, a := range p.Files {
		if strings.HasSuffix(a.Name, ".csv") {
			detail["hash "+reportType(a.Name)] = a.Hash
		}
	}
	if _, err := s.opt.Log.Append(ctx, impound.Entry{ID: "notify.prepare:" + p.ID, Type: impound.EntryIntent, At: now, By: by, What: "notify.prepare", Case: p.Case, Detail: detail}); err != nil {
		return p, fmt.Errorf("couldn't record the intent to prepare a report: %w", err)
	}
	if err := s.write(p, files); err != nil {
		return p, impound.Errorf(impound.KindUnavailable, "couldn't write report %s: %w", p.ID, err).At(p.Dir).WithCure("check the disk and the rights of the folder, then prepare again")
	}
	if err := s.result(ctx, p); err != nil {
		return p, err
	}
	s.opt.Logger.InfoContext(ctx, "report prepared", "report", p.ID, "network", ownerName(n), "victims", p.Victims, "contacts", p.Contacts)
	return p, nil
}

func reportType(file string) string {
	parts := strings.Split(file, "-")
	if len(parts) > 3 {
		return parts[3]
	}
	return file
}

func (s *Service) result(ctx context.Context, p Prepared) error {
	d := map[string]string{"report": p.ID, "network": ownerName(p.Network)}
	for _, f := range p.Files {
		if f.Name == "message.eml" {
			d["hash message"] = f.Hash
		}
	}
	if _, err := s.opt.Log.Append(ctx, impound.Entry{ID: "notify.prepare:" + p.ID + ":done", Type: impound.EntryResult, At: s.opt.Now().UTC(), By: p.By, What: "notify.prepare", Case: p.Case, Intent: "notify.prepare:" + p.ID, Detail: d}); err != nil {
		return fmt.Errorf("couldn't record that report %s was prepared: %w", p.ID, err)
	}
	return nil
}

// folder gives the folder's name for a case: its id where that is a plain word,
// a hash in front of it where not, so that no id leads out of the folder.
func folder(caseID string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, caseID)
	if s != caseID || s == "" || len(s) > 64 {
		s = s[:min(len(s), 40)] + "." + strings.TrimPrefix(impound.HashBytes([]byte(caseID)), "sha256:")[:12]
	}
	return s
}

// write makes the report's folder appear whole or not at all.
func (s *Service) write(p Prepared, files []Attachment) error {
	parent := filepath.Dir(p.Dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	meta, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	for _, a := range append(slices.Clone(files), Attachment{Name: "report.json", Data: append(meta, '\n')}) {
		if err := writeSync(filepath.Join(tmp, a.Name), a.Data); err != nil {
			return err
		}
	}
	if err := syncDir(tmp); err != nil {
		return err
	}
	if err := os.RemoveAll(p.Dir); err != nil { // a damaged one of the same id
		return err
	}
	if err := os.Rename(tmp, p.Dir); err != nil {
		return err
	}
	return syncDir(parent)
}

func writeSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// whole says whether all files of p are as they were written.
func (s *Service) whole(p Prepared) bool {
	for _, f := range p.Files {
		b, err := os.ReadFile(filepath.Join(p.Dir, f.Name))
		if err != nil || impound.HashBytes(b) != f.Hash {
			return false
		}
	}
	return len(p.Files) > 0
}

// List gives the prepared reports of a case, all cases when caseID is "", oldest
// first.
func (s *Service) List(ctx context.Context, caseID string) ([]Prepared, error) {
	return s.list(caseID)
}

func (s *Service) list(caseID string) ([]Prepared, error) {
	pattern := filepath.Join(s.opt.Dir, "*", "R-*", "report.json")
	if caseID != "" {
		pattern = filepath.Join(s.opt.Dir, folder(caseID), "R-*", "report.json")
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, impound.Errorf(impound.KindInternal, "couldn't list the reports: %w", err)
	}
	var out []Prepared
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, impound.Errorf(impound.KindUnavailable, "couldn't read a report: %w", err)
		}
		var p Prepared
		if err := json.Unmarshal(b, &p); err != nil {
			return nil, impound.Errorf(impound.KindInvalid, "the report's description is damaged: %w", err).At(path).WithCure("delete its folder and prepare again")
		}
		p.Dir = filepath.Dir(path)
		if b, err := os.ReadFile(filepath.Join(p.Dir, "sent.json")); err == nil {
			p.Sent = &Sent{}
			if err := json.Unmarshal(b, p.Sent); err != nil {
				return nil, impound.Errorf(impound.KindInvalid, "the note of sending is damaged: %w", err).At(filepath.Join(p.Dir, "sent.json")).WithCure("find out whether it was sent, and mark it again")
			}
		}
		if _, err := os.Stat(filepath.Join(p.Dir, sendingNote)); err == nil {
			p.Sending = p.Sent == nil
		}
		if _, err := os.Stat(filepath.Join(p.Dir, purgedNote)); err == nil {
			p.Purged = true
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Prepared) int { return cmp.Or(a.Made.Compare(b.Made), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// Get gives one report.
func (s *Service) Get(ctx context.Context, id string) (Prepared, error) {
	return s.get(id)
}

func (s *Service) get(id string) (Prepared, error) {
	all, err := s.list("")
	if err != nil {
		return Prepared{}, err
	}
	for _, p := range all {
		if p.ID == id {
			return p, nil
		}
	}
	return Prepared{}, NoReport(id)
}

// NoReport is the answer for a report that isn't there, for whoever must give it
// of one that somebody may not know of.
func NoReport(id string) error {
	return impound.Errorf(impound.KindNotFound, "there is no report %q", oneLine(id)).WithCure("list them with: impound notify list")
}

// MarkSent records that a person sent report id, and how ("mail", "portal
// ticket 77"). Its contacts are in no later report. Marking twice changes
// nothing.
func (s *Service) MarkSent(ctx context.Context, by, id, how string) (Prepared, error) {
	if err := s.may(by); err != nil {
		return Prepared{}, err
	}
	unlock, err := s.lock()
	if err != nil {
		return Prepared{}, err
	}
	defer unlock()
	p, err := s.get(id)
	if err != nil || p.Sent != nil {
		return p, err
	}
	return p, s.sent(ctx, &p, by, how)
}

func (s *Service) sent(ctx context.Context, p *Prepared, by, how string) error {
	sent := Sent{At: s.opt.Now().UTC(), By: by, How: oneLine(how)}
	b, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	// The log first: a note without an entry would be an act that nobody can prove.
	if _, err := s.opt.Log.Append(ctx, impound.Entry{ID: "notify.sent:" + p.ID, Type: impound.EntryDecision, At: sent.At, By: by, What: "notify.sent", Case: p.Case, Detail: map[string]string{"report": p.ID, "network": ownerName(p.Network), "how": sent.How}}); err != nil {
		return fmt.Errorf("couldn't record that report %s was sent: %w", p.ID, err)
	}
	tmp := filepath.Join(p.Dir, ".sent")
	if err := errors.Join(writeSync(tmp, append(b, '\n'))); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't note that report %s was sent: %w", p.ID, err).At(p.Dir)
	}
	if err := errors.Join(os.Rename(tmp, filepath.Join(p.Dir, "sent.json")), syncDir(p.Dir)); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't note that report %s was sent: %w", p.ID, err).At(p.Dir)
	}
	p.Sent = &sent
	return nil
}

// Purge deletes the reports whose oldest contact is older at now than the
// shortest retention of its orders: they hold addresses too. days is as in
// telemetry's Purge; a report with an unknown order is kept. It gives how many
// were deleted. Of a sent report the description stays, which holds no address,
// so that its contacts are not reported again. That reports were made, and
// sent, stays in the evidence log.
func (s *Service) Purge(ctx context.Context, now time.Time, days func(order string) (int, bool)) (int, error) {
	unlock, err := s.lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	s.sweep()
	all, err := s.list("")
	if err != nil {
		return 0, err
	}
	n := 0
	for _, p := range all {
		if p.Purged {
			continue
		}
		least, known := -1, len(p.Orders) > 0
		for _, o := range p.Orders {
			d, ok := days(o)
			known = known && ok
			if least < 0 || d < least {
				least = d
			}
		}
		// The oldest contact in it decides: it may not be kept any longer.
		if !known || p.First.After(now.Add(-time.Duration(max(least, 0))*24*time.Hour)) {
			continue
		}
		drop := s.drop
		if p.Sent != nil || p.Sending {
			drop = s.strip
		}
		if err := drop(ctx, p, "system", "retention ended"); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// strip deletes the files of a sent report, which hold addresses, and keeps its
// description.
func (s *Service) strip(ctx context.Context, p Prepared, by, why string) error {
	if err := s.recordDrop(ctx, p, by, why); err != nil {
		return err
	}
	for _, f := range p.Files {
		if err := os.Remove(filepath.Join(p.Dir, filepath.Base(f.Name))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return impound.Errorf(impound.KindUnavailable, "couldn't delete a file of report %s: %w", p.ID, err).At(p.Dir)
		}
	}
	if err := errors.Join(writeSync(filepath.Join(p.Dir, purgedNote), nil), syncDir(p.Dir)); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't note that report %s was purged: %w", p.ID, err).At(p.Dir)
	}
	return nil
}

const purgedNote = "purged"

func (s *Service) recordDrop(ctx context.Context, p Prepared, by, why string) error {
	if _, err := s.opt.Log.Append(ctx, impound.Entry{ID: fmt.Sprintf("notify.drop:%s:%d", p.ID, p.Made.Unix()), Type: impound.EntrySystem, At: s.opt.Now().UTC(), By: by, What: "notify.drop", Case: p.Case, Detail: map[string]string{"report": p.ID, "network": ownerName(p.Network), "why": why}}); err != nil {
		return fmt.Errorf("couldn't record that report %s is deleted: %w", p.ID, err)
	}
	return nil
}

func (s *Service) drop(ctx context.Context, p Prepared, by, why string) error {
	if err := s.recordDrop(ctx, p, by, why); err != nil {
		return err
	}
	// Rename first: half a folder must not be listed.
	gone := filepath.Join(filepath.Dir(p.Dir), ".gone-"+p.ID)
	if err := os.Rename(p.Dir, gone); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't delete report %s: %w", p.ID, err).At(p.Dir)
	}
	if err := os.RemoveAll(gone); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't delete report %s: %w", p.ID, err).At(gone)
	}
	return nil
}

func sortedKeys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
