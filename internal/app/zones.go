package app

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// ZoneConfig is a zone in our own custody, in which orders are carried out by
// changing delegations in it.
type ZoneConfig struct {
	// Provider is a short name, such as "ours".
	Provider string `yaml:"provider" json:"provider"`
	// Zone is its name: the names of orders lie right below it.
	Zone string `yaml:"zone" json:"zone"`
	// Via is "dnsupdate" (RFC 2136 with TSIG), or "libdns" for a host's API.
	Via string `yaml:"via" json:"via"`
	// Server is HOST:PORT of the zone's primary, for dnsupdate and the host
	// rfc2136.
	Server string `yaml:"server,omitempty" json:"server,omitempty"`
	// Host is which of libdns's hosts keeps the zone: cloudflare, desec, rfc2136.
	Host string `yaml:"host,omitempty" json:"host,omitempty"`
	// SecretFile holds the TSIG key as tsig-keygen writes it, or the host's API
	// token. Only its owner may read it.
	SecretFile string `yaml:"secret_file" json:"secret_file"`
	// TTL is of new records where the former ones give none, such as "1h".
	TTL string `yaml:"ttl,omitempty" json:"ttl,omitempty"`
	// RDAP is the base URL of a service that publishes the zone's names. Without
	// one, what the zone's own server says stands in its place.
	RDAP string `yaml:"rdap,omitempty" json:"rdap,omitempty"`
	// Parents are the addresses of the zone's servers, as the public asks them;
	// empty: found through the resolvers.
	Parents []string `yaml:"parents,omitempty" json:"parents,omitempty"`
}

// zoneName gives the zone's name.
func (z ZoneConfig) zoneName() (impound.Name, error) { return impound.ParseName(z.Zone) }

// validateZones finds what is wrong with zones. claimed is who claims which zone
// already.
func (c *Config) validateZones(state string, claimed map[string]string, bad func(where, cure, format string, args ...any)) {
	providers := map[string]bool{}
	for _, r := range c.Registries {
		providers[r.Provider] = true
	}
	for i, z := range c.Zones {
		at := fmt.Sprintf("zones[%d]", i)
		if z.Provider == "" || providers[z.Provider] {
			bad(at+".provider", "give each provider a short name of its own", "%q is no name of its own", z.Provider)
		}
		providers[z.Provider] = true
		n, err := z.zoneName()
		switch {
		case err != nil:
			bad(at+".zone", "write the zone's name", "%v", err)
		case claimed[n.String()] != "":
			bad(at+".zone", "give each zone to one provider", ".%s is claimed by %s and %s", n, claimed[n.String()], z.Provider)
		default:
			claimed[n.String()] = z.Provider
		}
		switch {
		case z.Via == "dnsupdate" && z.Host != "":
			bad(at+".host", "leave host out, or write via: libdns", "a zone that is updated by DNS has no other host")
		case z.Via == "dnsupdate":
		case z.Via == "libdns" && slices.Contains(seizure.ZoneHosts, z.Host):
		case z.Via == "libdns":
			bad(at+".host", "one of "+strings.Join(seizure.ZoneHosts, ", "), "%.40q is no host that is built in", z.Host)
		default:
			bad(at+".via", "write dnsupdate or libdns", "%.40q is no way to change a zone", z.Via)
		}
		if byServer := z.Via == "dnsupdate" || z.Host == "rfc2136"; byServer {
			if _, _, err := net.SplitHostPort(z.Server); err != nil {
				bad(at+".server", "write HOST:PORT of the zone's primary", "%q is no address of a server", z.Server)
			}
		} else if z.Server != "" {
			bad(at+".server", "leave server out", "%s is reached by its own address", z.Host)
		}
		if z.SecretFile == "" {
			bad(at+".secret_file", "name the file with the TSIG key, or with the host's token", "no key: the zone's server would take nothing from us")
		} else if info, err := os.Stat(c.Path(state, z.SecretFile)); err != nil {
			bad(at+".secret_file", "put the file there, or correct the path", "couldn't find %s", z.SecretFile)
		} else if info.Mode().Perm()&0o077 != 0 {
			bad(at+".secret_file", "chmod 600 "+z.SecretFile+", and ask yourself who has read it", "others can read %s (mode %04o)", z.SecretFile, info.Mode().Perm())
		}
		if d, err := time.ParseDuration(z.TTL); z.TTL != "" && (err != nil || d < time.Second || d > 7*24*time.Hour) {
			bad(at+".ttl", `write "1h", between "1s" and "168h"`, "%q is no time to live", z.TTL)
		}
		if z.RDAP != "" {
			if u, err := url.Parse(z.RDAP); err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u.Hostname()) {
				bad(at+".rdap", "write an https:// URL", "%q is no RDAP base URL", z.RDAP)
			}
		}
	}
}

// zoneConnector makes the connector of z.
func (s *System) zoneConnector(z ZoneConfig) (seizure.Connector, error) {
	zone, err := z.zoneName()
	if err != nil {
		return nil, err
	}
	ttl, _ := time.ParseDuration(z.TTL) // checked when the configuration was read
	file := s.cfg.Path(s.opt.State, z.SecretFile)
	if z.Via == "libdns" {
		host, secrets, err := seizure.NewZoneHost(z.Host, z.Server, file)
		if err != nil {
			return nil, err
		}
		return seizure.NewLibDNS(z.Provider, seizure.LibDNSConfig{Zone: zone, Host: host, Name: z.Host, TTL: ttl, Secrets: secrets, Now: s.now})
	}
	key, err := seizure.ReadTSIGKey(file)
	if err != nil {
		return nil, err
	}
	return seizure.NewDNSUpdate(z.Provider, seizure.DNSUpdateConfig{Zone: zone, Server: z.Server, Key: key, TTL: ttl, Now: s.now})
}
