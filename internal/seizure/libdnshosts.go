package seizure

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/libdns/cloudflare"
	"github.com/libdns/desec"
	"github.com/libdns/rfc2136"

	"github.com/impound/impound"
)

// ZoneHosts are the hosts that [NewZoneHost] knows.
var ZoneHosts = []string{"cloudflare", "desec", "rfc2136"}

// NewZoneHost makes the libdns provider of that name. secretFile holds its API
// token, or for rfc2136 a TSIG key ([ReadTSIGKey]); server is host:port for
// rfc2136 and empty for the others. The secrets are to be cut out of its words.
//
// Three are built in, each of a few hundred lines without dependencies of its own
// but libdns; another is a line here. rfc2136 takes answers that are not signed:
// [DNSUpdate] does not, and does more.
func NewZoneHost(name, server, secretFile string) (h ZoneHost, secrets []string, err error) {
	if !slices.Contains(ZoneHosts, name) {
		return nil, nil, impound.Errorf(impound.KindInvalid, "%.40q is no host that is built in", name).WithCure("one of " + strings.Join(ZoneHosts, ", "))
	}
	if (server != "") != (name == "rfc2136") {
		return nil, nil, impound.Errorf(impound.KindInvalid, "a server is named for rfc2136, and for no other host").WithCure("correct server")
	}
	if name == "rfc2136" {
		k, err := ReadTSIGKey(secretFile)
		if err != nil {
			return nil, nil, err
		}
		secret := base64.StdEncoding.EncodeToString(*k.secret)
		return &rfc2136.Provider{KeyName: k.name, KeyAlg: k.alg, Key: secret, Server: server}, []string{secret}, nil
	}
	b, err := ReadSecret(secretFile)
	if err != nil {
		return nil, nil, err
	}
	token := strings.TrimSpace(string(b))
	if len(token) < 8 || strings.ContainsAny(token, " \t\r\n") {
		return nil, nil, impound.Errorf(impound.KindInvalid, "the file holds no token").At(secretFile).WithCure("one line, as the host shows it")
	}
	if name == "desec" {
		return &desec.Provider{Token: token}, []string{token}, nil
	}
	return &cloudflare.Provider{APIToken: token, HTTPClient: bounded{&http.Client{Timeout: time.Minute}}}, []string{token}, nil
}

// bounded reads at most so much of an answer.
type bounded struct{ c *http.Client }

// hostAnswer is the largest answer that is read of a host's API, in octets.
const hostAnswer = 16 << 20

// Do is one exchange.
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	resp, err := b.c.Do(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &limited{ReadCloser: resp.Body, left: hostAnswer}
	return resp, nil
}

type limited struct {
	io.ReadCloser
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("the answer is larger than %d octets", hostAnswer)
	}
	n, err := l.ReadCloser.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
