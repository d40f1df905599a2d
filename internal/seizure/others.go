package seizure

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
)

// hostUser is a connector that can tell which of the hosts under a name other
// names are delegated to.
type hostUser interface {
	HostsUsed(ctx context.Context, v RegistryView) ([]impound.Name, error)
}

// maxHosts bounds how many hosts under a name are asked about one by one; those
// beyond are taken to be used.
const maxHosts = 64

// HostsUsed gives the hosts under v's name that the registry calls linked (RFC
// 5732 2.3). Of a host that the name itself is delegated to it can't tell whether
// others are too: those are left out.
func (e *EPP) HostsUsed(ctx context.Context, v RegistryView) ([]impound.Name, error) {
	var out []impound.Name
	for i, h := range without(sortNames(v.Hosts), v.NS) {
		if i >= maxHosts {
			out = append(out, h)
			continue
		}
		linked := false
		_, err := e.again(ctx, func(c *epp.Client) error {
			info, err := c.InfoHost(ctx, h)
			linked = slices.Contains(info.Statuses, "linked")
			return err
		})
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		if linked {
			out = append(out, h)
		}
	}
	return out, nil
}

// HostsUsed gives the hosts under v's name that other names of the zone are
// delegated to.
func (l *LibDNS) HostsUsed(ctx context.Context, v RegistryView) ([]impound.Name, error) {
	all, err := l.zone(ctx)
	if err != nil {
		return nil, err
	}
	var out []impound.Name
	for _, rr := range all {
		if rr.Type != "NS" || rr.Name == v.Name.FQDN() || rr.Name == libdns.AbsoluteName("@", l.cfg.Zone.FQDN()) {
			continue
		}
		if t := strings.ToLower(dns.Fqdn(strings.TrimSpace(rr.Data))); dns.IsSubDomain(v.Name.FQDN(), t) {
			if h, err := wireName(t); err == nil {
				out = append(out, h)
			}
		}
	}
	return sortNames(out), nil
}

// untold warns of the hosts under v's name of which its provider doesn't tell who
// else lives by them; "" where there are none.
func untold(conn Connector, v RegistryView) string {
	hosts := sortNames(v.Hosts)
	switch conn.(type) {
	case *LibDNS: // it reads the whole zone
		return ""
	case hostUser: // of the others it told
		hosts = slices.DeleteFunc(hosts, func(h impound.Name) bool { return !slices.Contains(v.NS, h) })
	}
	if len(hosts) == 0 {
		return ""
	}
	return "names that live by hosts under it break with it, and its provider doesn't tell which do beside itself: " + strings.Join(defang(hosts), ", ") +
		"; ask it before you approve, and bring those names under the order, or leave this one out"
}

// contradicts says why what is ordered for np.Name can't stand beside what its
// provider holds of it, "" where it can.
func (e *Engine) contradicts(ctx context.Context, conn Connector, m *impound.Mandate, acts impound.Acts, np *NamePlan, v RegistryView) string {
	_, until := m.Window()
	if ends := v.Expires; !ends.IsZero() && ends.Before(until) {
		day, can := ends.UTC().Format(time.DateOnly), slices.Contains(conn.Capabilities().Acts, impound.ActRenew)
		switch payer := cmp.Or(m.Payer(), e.cfg.RenewalBy); {
		case payer != "":
			np.Warnings = append(np.Warnings, "its registration ends "+day+", before the order does: the renewal is paid by "+payer)
		case acts.Renew && can:
			np.Warnings = append(np.Warnings, "its registration ends "+day+", before the order does: it is renewed under the order, once that is near")
		case acts.Renew:
			return fmt.Sprintf("its registration ends %s, before the order does, and provider %s can't be told to renew it: say in the order who pays (custody: renewal_by), or set renewal_by: in the configuration; else it would come free", day, conn.Provider())
		default:
			return fmt.Sprintf("its registration ends %s, before the order does, and nobody is named who pays the renewal: say it in the order (custody: renewal_by), order it (acts: renew), or set renewal_by: in the configuration; else it would come free", day)
		}
		for _, l := range acts.Lock {
			if strings.HasSuffix(l, "RenewProhibited") {
				return fmt.Sprintf("its registration ends %s, before the order does, and the order locks it against renewal (%s): nobody could pay to keep it, and it would come free", ends.UTC().Format(time.DateOnly), l)
			}
		}
	}
	hu, ok := conn.(hostUser)
	if !ok || len(v.Hosts) == 0 || len(acts.Nameservers) == 0 && !acts.Hold {
		return ""
	}
	used, err := hu.HostsUsed(ctx, v)
	if err != nil {
		return "it could not be asked which of the hosts under it other names use: " + err.Error()
	}
	np.used = used
	return ""
}

// harmed blocks names under which hosts live that names outside the plan use:
// those would break with it. What the plan's other names use goes with them. Two
// approvers can let it pass, by overriding the gate that asks who else hangs on a
// name (G4).
func (p *Plan) harmed() {
	ours := map[impound.Name]bool{}
	for _, np := range p.Names {
		if np.Blocked == "" {
			for _, h := range np.Former.NS {
				ours[h] = true
			}
		}
	}
	for i := range p.Names {
		np := &p.Names[i]
		if len(np.Steps) == 0 {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(np.used), func(h impound.Name) bool { return ours[h] })
		if shared := slices.DeleteFunc(slices.Clone(np.used), func(h impound.Name) bool { return !ours[h] }); len(shared) > 0 {
			np.Warnings = append(np.Warnings, "names of this plan live by hosts under it, and its provider doesn't tell whether others do too, which would break with it: "+strings.Join(defang(shared), ", "))
		}
		if len(others) == 0 {
			continue
		}
		words := "hosts under it that names outside this plan use, which would break with it: " + strings.Join(defang(others), ", ")
		if slices.ContainsFunc(np.Verdicts, func(v impound.GateVerdict) bool {
			return strings.HasPrefix(v.Gate, "G4") && v.Outcome == impound.GateWarn && strings.HasPrefix(v.Reason, "overridden by two approvers")
		}) {
			np.Warnings = append(np.Warnings, words)
			continue
		}
		np.Steps, np.Blocked = nil, words+"; bring those names under the order, or have two approvers override G4"
	}
}
