package seizure

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// leaseTime is how long a lease holds without being renewed. It is renewed
// before each act, and one act ends well within it.
const leaseTime = 3 * time.Minute

// lease says who is acting at a provider, so that two applies don't. One whose
// holder died is taken over at once where that can be seen (same machine), else
// when it has run out.
type lease struct {
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
	Where  string    `json:"where,omitempty"` // machine boot and process namespace; "" when unknown
	PID    int       `json:"pid"`
	Born   string    `json:"born,omitempty"` // the process's start, so that a reused id is told apart
}

// held is a lease in hand.
type held struct {
	e        *Engine
	provider string
	holder   string
	until    time.Time
}

func (e *Engine) take(ctx context.Context, provider string) (*held, error) {
	h := &held{e: e, provider: provider, holder: rand.Text()}
	err := e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := store.Modify(tx, docLease, provider, func(l *lease) (map[string]string, error) {
			now := e.now()
			// One that was stopped (Ctrl-Z) would go on, when it is woken, with
			// what it had seen before.
			if l.Holder != "" && !now.Before(l.Until) && l.state() == "T" {
				return nil, impound.Errorf(impound.KindConflict, "another apply (process %d) is at work at provider %s, and was stopped", l.PID, provider).
					WithCure(fmt.Sprintf("let it go on (fg, or kill -CONT %d) or end it, then apply again", l.PID))
			}
			if l.Holder != "" && now.Before(l.Until) && !l.dead() {
				return nil, impound.Errorf(impound.KindConflict, "another apply (process %d) is at work at provider %s", l.PID, provider).
					WithCure("wait until it ends, at the latest " + l.Until.UTC().Format(time.RFC3339) + ", then apply again")
			}
			h.until = now.Add(leaseTime)
			*l = lease{Holder: h.holder, Until: h.until, Where: machine(), PID: os.Getpid(), Born: born(os.Getpid())}
			return nil, nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// renew is called right before an act; an error means that the lease was lost
// and nothing may be done. It looks each time: clocks that are set, and processes
// that sleep, make no lease.
func (h *held) renew(ctx context.Context) error {
	if left := h.until.Sub(h.e.now()); left > leaseTime*2/3 && left <= leaseTime {
		return h.e.cfg.Store.View(ctx, func(tx store.Tx) error {
			l, _, err := store.Get[lease](tx, docLease, h.provider)
			if err != nil && !isNotFound(err) {
				return err
			}
			return h.mine(l)
		})
	}
	return h.e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := store.Modify(tx, docLease, h.provider, func(l *lease) (map[string]string, error) {
			if err := h.mine(*l); err != nil {
				return nil, err
			}
			h.until = h.e.now().Add(leaseTime)
			l.Until = h.until
			return nil, nil
		})
		return err
	})
}

func (h *held) mine(l lease) error {
	if l.Holder != h.holder {
		return impound.Errorf(impound.KindConflict, "another apply took over provider %s", h.provider).WithCure("let it finish, then look: impound seize status")
	}
	return nil
}

func (h *held) release(ctx context.Context) {
	_ = h.e.cfg.Store.Update(ctx, func(tx store.Tx) error { // if it can't be given back, it runs out
		l, rev, err := store.Get[lease](tx, docLease, h.provider)
		if err != nil || l.Holder != h.holder {
			return err
		}
		return tx.Delete(docLease, h.provider, rev)
	})
}

// dead says that the holder is known to be gone; false when that can't be seen
// from here.
func (l *lease) dead() bool {
	if l.Where == "" || l.Where != machine() || l.Born == "" {
		return false
	}
	return born(l.PID) != l.Born
}

// state gives the holder's state as proc(5) has it, field 3; "" when that can't be
// seen from here.
func (l *lease) state() string {
	if l.Where == "" || l.Where != machine() || l.dead() {
		return ""
	}
	return stat(l.PID, 0)
}

// machine names this boot and this process namespace, "" where there is no
// /proc to see other processes in.
func machine() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + ns
}

// born gives the start time of a process in ticks since boot (proc(5), field
// 22), "" when there is none, or only its remains.
func born(pid int) string {
	if st := stat(pid, 0); st == "Z" || st == "X" {
		return ""
	}
	return stat(pid, 19)
}

// stat gives a field of a process's stat file, counted from the one after its
// command's name; "" when there is none.
func stat(pid, field int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	i := bytes.LastIndexByte(b, ')') // the command's name may hold anything
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return ""
	}
	return f[field]
}
