package peertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// FreePort gives a port of 127.0.0.1 that is free in TCP and UDP, for a peer that
// can't choose one itself. It lies below the ports that systems give to whoever
// asks for any (RFC 6335, 6: from 49152; Linux: from 32768): one of those would be
// taken by the next client that dials, before the peer listens on it.
func FreePort() (int, error) {
	var last error
	for range 100 {
		port := 10_000 + rand.IntN(22_000)
		at := fmt.Sprint("127.0.0.1:", port)
		l, err := net.Listen("tcp", at)
		if err != nil {
			last = err
			continue
		}
		u, err := net.ListenPacket("udp", at)
		l.Close()
		if err != nil {
			last = err
			continue
		}
		u.Close()
		return port, nil
	}
	return 0, errors.Join(errors.New("no port is free"), last)
}

// Port is FreePort for a test, which fails where there is none.
func Port(t testing.TB) int {
	t.Helper()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Addr is Port with 127.0.0.1 before it.
func Addr(t testing.TB) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", Port(t))
}
