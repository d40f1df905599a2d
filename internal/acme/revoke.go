package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	xacme "golang.org/x/crypto/acme"
)

// A certificate outlives the order that it was asked for under. Its key is
// destroyed at once, and the certificate is revoked (RFC 8555 7.6), with the
// account's key, as soon as the authority can be reached; until then it waits in
// the folder revoke, in a file that holds nothing secret. That this is done when no
// order is in force any more is its point: it takes back what we did, and touches
// nobody else's.

// toRevoke notes that a certificate is to be revoked.
func (m *Manager) toRevoke(zone string, c *tls.Certificate) error {
	if c == nil || !m.cfg.Now().Before(c.Leaf.NotAfter) {
		return nil
	}
	path := filepath.Join(m.cfg.Dir, "revoke", zone+"_"+c.Leaf.SerialNumber.Text(16)+".pem")
	if err := writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Leaf.Raw})); err != nil {
		return fmt.Errorf("couldn't note that a certificate is to be revoked: %w", err)
	}
	return nil
}

// revokeAll has revoked what waits for it.
func (m *Manager) revokeAll(ctx context.Context) (errs []error) {
	files, err := filepath.Glob(filepath.Join(m.cfg.Dir, "revoke", "*.pem"))
	if err != nil {
		return []error{err}
	}
	for _, path := range files {
		if ctx.Err() != nil {
			break
		}
		t, now := m.try(path), m.cfg.Now()
		if now.Before(t.next) {
			continue
		}
		zone, _, _ := strings.Cut(filepath.Base(path), "_")
		if err := m.revoke(ctx, zone, path, now); err != nil {
			t.failed(now)
			errs = append(errs, fmt.Errorf("couldn't revoke a certificate of %s: %w", defanged(zone), err))
			continue
		}
		delete(m.tries, path)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errs
}

func (m *Manager) revoke(ctx context.Context, zone, path string, now time.Time) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return errors.New("its file can't be read")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("its file can't be read: %w", err)
	}
	if !now.Before(leaf.NotAfter) {
		return nil // it ended by itself
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	return m.act(ctx, "acme.revoke", zone, func() error {
		err := m.client.RevokeCert(ctx, nil, leaf.Raw, xacme.CRLReasonCessationOfOperation)
		var ae *xacme.Error
		if errors.As(err, &ae) && ae.ProblemType == "urn:ietf:params:acme:error:alreadyRevoked" {
			err = nil
		}
		return err
	})
}
