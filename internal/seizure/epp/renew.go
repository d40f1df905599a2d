package epp

import (
	"context"
	"strconv"
	"time"

	"github.com/impound/impound"
)

// DomainRenew is one <renew> of a domain (RFC 5731 3.2.3).
type DomainRenew struct {
	Name impound.Name
	// Ends is the date (2026-12-01) on which the registration ends by now. The
	// server refuses another one, so that a command which is told twice renews
	// once.
	Ends   string
	Years  int    // 1 to 10
	ClTRID string // 3 to 64 characters; made up when empty
}

// RenewDomain lets a registration go on, at the account's cost. The permit must be
// for that name and ActRenew, and hold at the moment before the frame is written.
// Errors are as those of UpdateDomain. Whether the server refuses a wrong Ends as
// 2004, 2306 or otherwise, servers differ in: look what it is by now.
func (c *Client) RenewDomain(ctx context.Context, permit impound.Permit, x DomainRenew) (Result, error) {
	bad := func(format string, args ...any) (Result, error) {
		return Result{}, impound.Errorf(impound.KindInvalid, format, args...).At(x.Name.Defanged())
	}
	if x.Name.IsZero() {
		return bad("a renewal without a name")
	}
	if t, err := time.Parse(time.DateOnly, x.Ends); err != nil || t.Year() < 1980 {
		return bad("%q is no date on which a registration ends", cut(x.Ends, 40))
	}
	if x.Years < 1 || x.Years > 10 {
		return bad("a registration is renewed for 1 to 10 years, not %d", x.Years)
	}
	id, err := trID(x.ClTRID)
	if err != nil {
		return Result{}, err
	}
	gate := func(now time.Time) error { return permit.Check(impound.ActRenew, x.Name, now) }
	r, _, err := c.do(ctx, command(`<renew><domain:renew xmlns:domain="`+NSDomain+`">`+Tag("domain:name", x.Name.String())+Tag("domain:curExpDate", x.Ends)+
		`<domain:period unit="y">`+strconv.Itoa(x.Years)+`</domain:period></domain:renew></renew>`, "", id), id, gate)
	return c.transformed(r, err)
}
