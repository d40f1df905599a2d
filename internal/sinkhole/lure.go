package sinkhole

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/impound/impound"
)

// sealer turns lure tokens into what may be kept of them: a keyed hash, and the
// token itself encrypted to the notification team. Nobody here can open it.
type sealer struct {
	key       []byte
	to        []age.Recipient
	perSecond int

	mu   sync.Mutex
	sec  int64
	used int
}

// put adds the hash and the sealed form of token to ev. Above the bound on
// sealing, the hash alone is kept.
func (l *sealer) put(ev *impound.Event, token string, now time.Time) {
	if token == "" || len(token) > 1024 {
		return
	}
	if len(l.key) > 0 {
		m := hmac.New(sha256.New, l.key)
		m.Write([]byte(token))
		ev.LureHash = hex.EncodeToString(m.Sum(nil))
	}
	if len(l.to) == 0 || !l.take(now) {
		return
	}
	var buf bytes.Buffer
	w, err := age.Encrypt(&buf, l.to...)
	if err != nil {
		return
	}
	if _, err := w.Write([]byte(token)); err != nil {
		return
	}
	if err := w.Close(); err != nil {
		return
	}
	ev.Lure = base64.StdEncoding.EncodeToString(buf.Bytes())
}

func (l *sealer) take(now time.Time) bool {
	if l.perSecond < 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if sec := now.Unix(); sec != l.sec {
		l.sec, l.used = sec, 0
	}
	l.used++
	return l.used <= l.perSecond
}
