package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app/sensor"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/sinkhole"
)

// Config is the whole configuration; this struct is its reference. Every field
// may be left out. A relative path is relative to the state folder. No secret
// stands in it: passwords and keys are files that it names.
type Config struct {
	// Web is where the pages and the JSON API listen: "127.0.0.1:8480". They
	// act on nothing outside, ask for a login once there is an account, and have
	// no TLS of their own, so an address off loopback is refused: put a proxy
	// before them. Empty: no pages.
	Web string `yaml:"web,omitempty" json:"web,omitempty"`
	// Sinkhole says how seized names are answered.
	Sinkhole SinkholeConfig `yaml:"sinkhole,omitempty" json:"sinkhole"`
	// Registries are those that orders are carried out at.
	Registries []RegistryConfig `yaml:"registries,omitempty" json:"registries,omitempty"`
	// WHOIS is the first server asked where RDAP gives nothing: "whois.iana.org",
	// which refers on. Empty: nobody is asked, but for suffixes whose registry names
	// a server of its own.
	WHOIS string `yaml:"whois,omitempty" json:"whois,omitempty"`
	// RDAPBootstrap is IANA's list of RDAP servers (dns.json) as a file, for the
	// suffixes that registries: says nothing of. Default: rdap-dns.json in the state
	// folder, which impound registry update fetches.
	RDAPBootstrap string `yaml:"rdap_bootstrap,omitempty" json:"rdap_bootstrap,omitempty"`
	// RegistryMap is a CSV file (kind,key,name,backend,channel,contact,source,as_of)
	// that says whom to ask for which suffix, and which registrar has which IANA id,
	// over the few facts that are built in.
	RegistryMap string `yaml:"registry_map,omitempty" json:"registry_map,omitempty"`
	// Registrants are the organisations that orders give names to, by the words
	// that the orders name them with: "registrant: DCU" in an order is the contact
	// DCU here. One that isn't here is left to people.
	Registrants map[string]seizure.Contact `yaml:"registrants,omitempty" json:"registrants,omitempty"`
	// RenewalBy is who pays when the registration of a name is about to end before
	// its order does, where the order names nobody: "this unit, account 4711 at
	// NIC XY". Without it such an order is refused, since the name would come free.
	RenewalBy string `yaml:"renewal_by,omitempty" json:"renewal_by,omitempty"`
	// Zones are those in our own custody, in which orders are carried out by
	// changing delegations.
	Zones []ZoneConfig `yaml:"zones,omitempty" json:"zones,omitempty"`
	// Asked are those that have no interface for orders: they are asked by mail,
	// or by a person. Mail is how letters leave.
	Asked []AskedConfig `yaml:"asked,omitempty" json:"asked,omitempty"`
	Mail  MailConfig    `yaml:"mail,omitempty" json:"mail"`
	// Resolvers are recursive name servers ("192.0.2.53:53") that
	// verification and evidence capture ask.
	Resolvers []string `yaml:"resolvers,omitempty" json:"resolvers,omitempty"`
	// Networks is a CSV file (prefix,asn,name,country,abuse,sector,kind) that
	// says who is responsible for an address. Without it victims are counted
	// under "unknown network" and no report can be addressed.
	Networks string `yaml:"networks,omitempty" json:"networks,omitempty"`
	// NetworksMMDB is a database of networks in MaxMind's format (such as
	// GeoLite2-ASN.mmdb), asked for addresses that networks: says nothing of.
	NetworksMMDB string `yaml:"networks_mmdb,omitempty" json:"networks_mmdb,omitempty"`
	// CountriesMMDB is a database of countries in MaxMind's format (such as
	// GeoLite2-Country.mmdb), for impound twist --geoip.
	CountriesMMDB string `yaml:"countries_mmdb,omitempty" json:"countries_mmdb,omitempty"`
	// Brands is a JSON file of brands to screen names for; empty: the
	// built-in set.
	Brands string `yaml:"brands,omitempty" json:"brands,omitempty"`
	// Lists is a folder of gate lists (MISP warning-list JSON or plain files)
	// beside the built-in ones. Default: lists in the state folder, which
	// impound lists update fills.
	Lists string `yaml:"lists,omitempty" json:"lists,omitempty"`
	// PassiveDNS is a file of passive DNS in the common output format, a JSON
	// object a line: who else lives at a name, and what it draws (gates G3, G4).
	PassiveDNS string `yaml:"passive_dns,omitempty" json:"passive_dns,omitempty"`
	// Report says who writes to network owners.
	Report ReportConfig `yaml:"report,omitempty" json:"report"`
	// Deconfliction are the people who are told when the orders of two sealed
	// cases, neither of whose parties may know of the other, want the same name for
	// different actors: the ids of both cases and their parties, and no name. Each
	// must hold the role auditor. Empty: nobody learns of both.
	Deconfliction []string `yaml:"deconfliction,omitempty" json:"deconfliction,omitempty"`
	// Access says who may do what without a name.
	Access AccessConfig `yaml:"access,omitempty" json:"access"`
	// Role is what impound serve does: "all" (the default) is everything in one
	// process; "hub" is everything but the listeners; "sensor" is the listeners
	// alone, on a machine of their own, without a database.
	Role string `yaml:"role,omitempty" json:"role,omitempty"`
	// Hub says, on a hub, how sensors reach it.
	Hub HubConfig `yaml:"hub,omitempty" json:"hub"`
	// Control says, on a sensor, where orders come from.
	Control ControlConfig `yaml:"control,omitempty" json:"control"`
	// Capture says how evidence capture reaches actors' servers.
	Capture CaptureConfig `yaml:"capture,omitempty" json:"capture"`
	// CustodyEvery is how often a serving process looks again at every name of
	// every order, for as long as the order lives and after: "6h", the default,
	// or longer or shorter, but no shorter than "1m"; "off" never looks.
	CustodyEvery string `yaml:"custody_every,omitempty" json:"custody_every,omitempty"`
	// PollEvery is how often a serving process takes the registries' messages
	// (EPP poll) and files them as evidence: "5m", the default, no shorter than
	// "1m"; "off" leaves it to impound seize poll.
	PollEvery string `yaml:"poll_every,omitempty" json:"poll_every,omitempty"`
	// Personal says who may read personal data that is kept as evidence.
	Personal PersonalConfig `yaml:"personal_data,omitempty" json:"personal_data"`
	// Contest is the public page for those whom an order hits.
	Contest ContestConfig `yaml:"contest,omitempty" json:"contest"`
	// Watch says where new names come from, for impound watch run.
	Watch WatchConfig `yaml:"watch,omitempty" json:"watch"`
	// Seal says who attests the evidence log, and how often.
	Seal SealConfig `yaml:"seal,omitempty" json:"seal"`
	// Routes sends connections meant for one address ("192.0.2.1:53") to
	// another ("127.0.0.1:5300"). It exists for practice, where name servers
	// can't sit on port 53; targets off loopback are refused.
	Routes map[string]string `yaml:"routes,omitempty" json:"routes,omitempty"`
}

// WatchConfig is where new names come from.
type WatchConfig struct {
	// Contact is told to everybody whose servers are read: a mailbox or a web
	// address of yours. Needed for any server that is not this machine.
	Contact string `yaml:"contact,omitempty" json:"contact,omitempty"`
	// Threshold is the least score of a candidate, from 0 to 1. Default: what is
	// more than a coincidence, as with impound watch screen.
	Threshold float64 `yaml:"threshold,omitempty" json:"threshold,omitempty"`
	// Poll is for how long a source that has nothing new is left alone. Default:
	// "2s", and five minutes for a list at a URL.
	Poll string `yaml:"poll,omitempty" json:"poll,omitempty"`
	// Rate is how many requests a second one server gets at most. Default 10;
	// below 0 no limit, for a mirror of your own.
	Rate float64 `yaml:"rate,omitempty" json:"rate,omitempty"`
	// Budget is the share of all names that may go into the queue for a brand, and
	// the same for each actor's habits: "0.1%". Default: brands by threshold alone,
	// and 0.1% for each actor.
	Budget string `yaml:"budget,omitempty" json:"budget,omitempty"`
	// Serve is "off" where a serving process is not to read the sources, but
	// impound watch run alone. Default: it reads them.
	Serve string `yaml:"serve,omitempty" json:"serve,omitempty"`
	// Enrich says how near candidates are looked at from outside by themselves.
	Enrich EnrichConfig `yaml:"enrich,omitempty" json:"enrich"`
	// Sources are what is read, each from where it was left.
	Sources []WatchSource `yaml:"sources,omitempty" json:"sources,omitempty"`
}

// EnrichConfig is how candidates are looked at from outside while impound watch
// run goes on, and what impound watch enrich keeps to.
type EnrichConfig struct {
	// Level is how near: "off", the default; "registry" asks the parent zone and
	// RDAP, of which the name's holder learns nothing; "dns" asks resolvers too, who
	// ask the holder's servers; "web" also asks the web server, which sees a visitor
	// come from capture.proxy, or from here. A name whose marking (PAP) allows less
	// is asked less.
	Level string `yaml:"level,omitempty" json:"level,omitempty"`
	// Top is how many candidates are looked at: those with the highest scores.
	// Default 1000.
	Top int `yaml:"top,omitempty" json:"top,omitempty"`
	// Refresh is when they are looked at again: "168h", the default.
	Refresh string `yaml:"refresh,omitempty" json:"refresh,omitempty"`
	// RegistryEvery spaces the questions to one registry, HostEvery the looks at
	// one address: "1s", the default.
	RegistryEvery string `yaml:"registry_every,omitempty" json:"registry_every,omitempty"`
	HostEvery     string `yaml:"host_every,omitempty" json:"host_every,omitempty"`
	// Parallel is how many names are looked at at a time. Default 4.
	Parallel int `yaml:"parallel,omitempty" json:"parallel,omitempty"`
}

// WatchSource is one source; exactly one of LogList, CT, List and Zones is set.
type WatchSource struct {
	// Name is what its place is kept under: change it, and it begins anew. A log
	// list needs none; its logs are called by their addresses.
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	// LogList is a list of Certificate Transparency logs, a file or a URL, such
	// as https://www.gstatic.com/ct/log_list/v3/log_list.json. Those in it that
	// are usable, qualified or read-only are read.
	LogList string `yaml:"log_list,omitempty" json:"log_list,omitempty"`
	// CT is where one log is read. Key is its public key, base64 of DER. For a
	// log of static-ct-api, Submission is its other address, its name. Of a log
	// list, Key is the key that signs it, PEM or base64 (log_list_pubkey.pem);
	// the signature is read from beside the list, log_list.sig. Without a key a
	// list is believed as https brings it.
	CT         string `yaml:"ct,omitempty" json:"ct,omitempty"`
	Submission string `yaml:"submission,omitempty" json:"submission,omitempty"`
	Key        string `yaml:"key,omitempty" json:"key,omitempty"`
	// Witnesses are those who must have cosigned what a static log (ct with
	// submission) signs before it counts, Quorum how many of them (default: all):
	// "NAME+KEYHASH+BASE64", as each publishes its key (C2SP tlog-cosignature). A log
	// that shows us another tree than the world can't show their signatures.
	Witnesses []string `yaml:"witnesses,omitempty" json:"witnesses,omitempty"`
	Quorum    int      `yaml:"quorum,omitempty" json:"quorum,omitempty"`
	// List is a file of names, a name a line, that may grow; a folder that such
	// files are put into; or a URL.
	List string `yaml:"list,omitempty" json:"list,omitempty"`
	// Zones is a folder of zone files as ICANN's CZDS gives them, TLD.txt.gz:
	// what they gained since they were last seen is screened.
	Zones string `yaml:"zones,omitempty" json:"zones,omitempty"`
	// From is where a log or a zone begins that was never read: "now", the
	// default; "start"; or, of a log, the number of an entry.
	From string `yaml:"from,omitempty" json:"from,omitempty"`
	// TLP, PAP and Originator are what whoever gives the source says of what it
	// holds: "amber", "red", "CERT Example". Each candidate carries them, and a name
	// that is promoted takes them into the case. With pap: amber nobody asks the
	// names' own servers, with red nobody asks anybody.
	TLP        impound.TLP `yaml:"tlp,omitempty" json:"tlp,omitempty"`
	PAP        impound.PAP `yaml:"pap,omitempty" json:"pap,omitempty"`
	Originator string      `yaml:"originator,omitempty" json:"originator,omitempty"`
}

// SealConfig is who attests the evidence log as it stands: only the log's name,
// size and root go to them. impound evidence seal asks them too, when it is not
// told whom to ask.
type SealConfig struct {
	// Witnesses are C2SP tlog-witnesses: "https://witness.example=NAME+HASH+KEY".
	Witnesses []string `yaml:"witnesses,omitempty" json:"witnesses,omitempty"`
	// TSAs are timestamp authorities (RFC 3161): "https://tsa.example/tsr".
	TSAs []string `yaml:"tsas,omitempty" json:"tsas,omitempty"`
	// TSACA is a PEM file with the roots that their certificates must lead to.
	// Empty: their signatures are proven, not whose they are.
	TSACA string `yaml:"tsa_ca,omitempty" json:"tsa_ca,omitempty"`
	// Every is how often a serving process asks them: "24h", the default, no
	// shorter than "1m"; "off" leaves it to impound evidence seal.
	Every string `yaml:"every,omitempty" json:"every,omitempty"`
}

// CaptureConfig is how evidence capture reaches actors' servers.
type CaptureConfig struct {
	// Proxy is where looks at names leave through, so that the actor does not see
	// who looks: socks5://127.0.0.1:9050 or http://HOST:PORT. HTTP, TLS, WHOIS, RDAP,
	// and DNS over TCP.
	Proxy string `yaml:"proxy,omitempty" json:"proxy,omitempty"`
	// DNS is direct where DNS and RDAP are not to take the proxy; else they do.
	DNS string `yaml:"dns,omitempty" json:"dns,omitempty"`
	// Resolvers are asked through the proxy, over TCP, as the proxy reaches them.
	// Default: those of resolvers that are on the public Internet.
	Resolvers []string `yaml:"resolvers,omitempty" json:"resolvers,omitempty"`
	// SourceAddress is the address of this machine that questions leave from: DNS,
	// RDAP, and what goes to actors' servers or to the proxy. Empty: the system
	// chooses.
	SourceAddress string `yaml:"source_address,omitempty" json:"source_address,omitempty"`
	// SecondProxy is another way out, to find servers that answer by where the
	// visitor comes from.
	SecondProxy string `yaml:"second_proxy,omitempty" json:"second_proxy,omitempty"`
	// Referrer is what one of the visitors says he comes from. Default
	// https://www.google.com/
	Referrer string `yaml:"referrer,omitempty" json:"referrer,omitempty"`
	// Every spaces the requests to one host: "200ms", the default, or "off".
	Every string `yaml:"every,omitempty" json:"every,omitempty"`
	// Timeout bounds one request: "20s", the default.
	Timeout string `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// MaxMB bounds what is taken of one name's web pages, from 1 to 48. Default 24.
	MaxMB int `yaml:"max_mb,omitempty" json:"max_mb,omitempty"`
	// WHOIS is the first server asked where RDAP gives nothing. Default
	// whois.iana.org, which refers on.
	WHOIS string `yaml:"whois,omitempty" json:"whois,omitempty"`
	// Browser is Chromium's program. Empty: looked for in the usual places.
	Browser string `yaml:"browser,omitempty" json:"browser,omitempty"`
	// WeakJail accepts, on a machine without user namespaces, a browser that
	// only limits and its own manners keep from files and the network. Without
	// it there are no screenshots on such a machine.
	WeakJail bool `yaml:"weak_jail,omitempty" json:"weak_jail,omitempty"`
}

// HubConfig is how sensors reach their hub.
type HubConfig struct {
	// Listen is where sensors ask for their policy: "https://0.0.0.0:8481", or
	// "http://127.0.0.1:8481" behind a proxy of yours; plain http off this
	// machine is refused. Empty: no sensor can ask.
	Listen string `yaml:"listen,omitempty" json:"listen,omitempty"`
	// URL is what sensors are told to ask: "https://hub.unit.example:8481".
	URL string `yaml:"url,omitempty" json:"url,omitempty"`
	// Cert and Key are PEM files for Listen. Without them one is made for the
	// host of URL, and each sensor is given it to pin.
	Cert string `yaml:"cert,omitempty" json:"cert,omitempty"`
	Key  string `yaml:"key,omitempty" json:"key,omitempty"`
	// PolicyValid is how long a sensor goes on when the hub is gone: "24h", the
	// default. An order's own end always comes first.
	PolicyValid string `yaml:"policy_valid,omitempty" json:"policy_valid,omitempty"`
}

// ControlConfig is where a sensor's orders come from: a hub's URL, a file, or
// both.
type ControlConfig struct {
	// HubKey is the hub's public key (impound sensor key prints it): bundles
	// that another key signed are refused.
	HubKey impound.PublicKey `yaml:"hub_key,omitempty" json:"hub_key,omitempty"`
	// URL is the hub's: "https://hub.unit.example:8481".
	URL string `yaml:"url,omitempty" json:"url,omitempty"`
	// CA is a PEM file with the certificate that the hub must show, or its
	// issuer's. Empty: the machine's own list of issuers.
	CA string `yaml:"ca,omitempty" json:"ca,omitempty"`
	// TokenFile holds the sensor's token, by which the hub knows it.
	TokenFile string `yaml:"token_file,omitempty" json:"token_file,omitempty"`
	// PolicyFile is a bundle, or a folder of *.policy files, that something else
	// puts there.
	PolicyFile string `yaml:"policy_file,omitempty" json:"policy_file,omitempty"`
}

// AccessConfig says who may do what without a name.
type AccessConfig struct {
	// Local are the roles of whoever runs commands on this machine without
	// --as: analyst, counsel, approver, operator, notifier, auditor, admin, or
	// none. Left out: all. It is for screening names and the like; whatever is
	// signed takes a person's key, and a sealed case takes a party to it.
	Local []string `yaml:"local,omitempty" json:"local,omitempty"`
}

// LocalRoles are the roles of whoever runs a command without a name.
func (c Config) LocalRoles() []impound.Role {
	if len(c.Access.Local) == 0 {
		return impound.Roles
	}
	var out []impound.Role
	for _, r := range c.Access.Local {
		if r != "none" {
			out = append(out, impound.Role(r))
		}
	}
	return out
}

// SinkholeConfig is how this sensor answers.
type SinkholeConfig struct {
	// Sensor is this site's name in every event. Default "local".
	Sensor string `yaml:"sensor,omitempty" json:"sensor,omitempty"`
	// Listen holds URIs: dns://HOST:PORT (UDP and TCP), http://, https://,
	// smtp://, tcp:// and what else this version knows; a wrong one is answered
	// with the list. Empty: no sinkhole in this process.
	Listen []string `yaml:"listen,omitempty" json:"listen,omitempty"`
	// Answer holds the addresses given for A and AAAA of seized names.
	Answer []netip.Addr `yaml:"answer,omitempty" json:"answer,omitempty"`
	// NS holds the names given for NS; they should be the orders' name servers,
	// which are given when it is empty.
	NS []impound.Name `yaml:"ns,omitempty" json:"ns,omitempty"`
	// Hostmaster is the mailbox of SOA records, as a name: hostmaster.unit.example
	Hostmaster impound.Name `yaml:"hostmaster,omitempty" json:"hostmaster,omitzero"`
	// Contact is whom the notice page says to call.
	Contact string `yaml:"contact,omitempty" json:"contact,omitempty"`
	// SealTo holds age recipients (age1...) of the notification team, for what
	// identifies a person. Without any, nothing that would be sealed is kept.
	SealTo []string `yaml:"seal_to,omitempty" json:"seal_to,omitempty"`
	// MaxSpoolMB bounds the disk that recorded contacts take. Default 1024.
	MaxSpoolMB int `yaml:"max_spool_mb,omitempty" json:"max_spool_mb,omitempty"`
	// SegmentKB is the size of one journal of the spool. Default 8192.
	SegmentKB int `yaml:"segment_kb,omitempty" json:"segment_kb,omitempty"`
	// SyncEvery bounds what a power cut can take: "1s", the default. What the
	// death of the process alone can take is nothing, whatever stands here.
	SyncEvery string `yaml:"sync_every,omitempty" json:"sync_every,omitempty"`
	// NSID is the server's name for DNS clients that ask for it (RFC 5001).
	NSID string `yaml:"nsid,omitempty" json:"nsid,omitempty"`
	// CAIssuer is told in CAA records of names whose order has ACME certificates,
	// such as "letsencrypt.org". Empty: nobody may issue.
	CAIssuer string `yaml:"ca_issuer,omitempty" json:"ca_issuer,omitempty"`
	// DoTCert and DoTKey are PEM files for dns+tls. Without them a certificate is
	// made that nobody can verify.
	DoTCert string `yaml:"dot_cert,omitempty" json:"dot_cert,omitempty"`
	DoTKey  string `yaml:"dot_key,omitempty" json:"dot_key,omitempty"`
	// ACME is where certificates for names come from whose order says acme.
	ACME ACMEConfig `yaml:"acme,omitempty" json:"acme"`
	// Limits bound what strangers can use up.
	Limits LimitsConfig `yaml:"limits,omitempty" json:"limits"`
	// Capacity is what all sensors together bear, for the gate G3.
	Capacity CapacityConfig `yaml:"capacity,omitempty" json:"capacity"`
}

// CapacityConfig is what a fleet of sensors was measured to bear.
type CapacityConfig struct {
	// QueriesPerSecond is what it answers without loss when one server is gone.
	QueriesPerSecond int `yaml:"queries_per_second,omitempty" json:"queries_per_second,omitempty"`
	// Servers is how many machines answer. Default 1.
	Servers int `yaml:"servers,omitempty" json:"servers,omitempty"`
	// Measured is when: "2026-11-20".
	Measured string `yaml:"measured,omitempty" json:"measured,omitempty"`
}

// ACMEConfig is a public authority for certificates (RFC 8555).
type ACMEConfig struct {
	// Directory is its URL: "https://acme-v02.api.letsencrypt.org/directory".
	// Empty: names whose order says acme are shown self-signed certificates.
	Directory string `yaml:"directory,omitempty" json:"directory,omitempty"`
	// Contact is a mailbox that it may write to.
	Contact string `yaml:"contact,omitempty" json:"contact,omitempty"`
	// AgreeTOS says that you have read its terms of service and agree.
	AgreeTOS bool `yaml:"agree_tos,omitempty" json:"agree_tos,omitempty"`
	// CA is a PEM file of who signed its own certificate, for a private one.
	CA string `yaml:"ca,omitempty" json:"ca,omitempty"`
	// PerHour bounds the certificates asked for within an hour. Default 10.
	PerHour int `yaml:"per_hour,omitempty" json:"per_hour,omitempty"`
}

// LimitsConfig bounds what strangers can use up. 0 is the default, a negative
// number no limit.
type LimitsConfig struct {
	// DNSPerSecond is UDP answers per second and network (/24, /56). Default 1000.
	DNSPerSecond int `yaml:"dns_per_second,omitempty" json:"dns_per_second,omitempty"`
	// Conns is open connections per listener, default 20000; ConnsPerSource per
	// address, default 256.
	Conns          int `yaml:"conns,omitempty" json:"conns,omitempty"`
	ConnsPerSource int `yaml:"conns_per_source,omitempty" json:"conns_per_source,omitempty"`
	// AllConns is open connections of all listeners together; default: what the
	// limit of open files leaves. Beyond it the oldest are cut.
	AllConns int `yaml:"all_conns,omitempty" json:"all_conns,omitempty"`
	// UDPPerSecond is datagrams to udp:// listeners that are recorded one by one,
	// per second and network, default 100; beyond it one event counts the rest.
	UDPPerSecond int `yaml:"udp_per_second,omitempty" json:"udp_per_second,omitempty"`
	// HeadTimeout is for a request head, a handshake, a line of SMTP: "10s".
	// IdleTimeout is between requests: "60s".
	HeadTimeout string `yaml:"head_timeout,omitempty" json:"head_timeout,omitempty"`
	IdleTimeout string `yaml:"idle_timeout,omitempty" json:"idle_timeout,omitempty"`
}

// RegistryConfig is one registry or registrar that takes orders over EPP.
type RegistryConfig struct {
	// Provider is a short name, such as "verisign".
	Provider string `yaml:"provider" json:"provider"`
	// TLDs are the top-level domains that it runs.
	TLDs []string `yaml:"tlds" json:"tlds"`
	// Role is "registry" where we may set server* statuses, else "registrar".
	Role string `yaml:"role" json:"role"`
	// WHOIS is HOST or HOST:PORT of its WHOIS server, asked where RDAP gives
	// nothing.
	WHOIS string `yaml:"whois,omitempty" json:"whois,omitempty"`
	// EPP is HOST:PORT of its EPP server; ServerName the name in its certificate.
	EPP        string `yaml:"epp" json:"epp"`
	ServerName string `yaml:"server_name,omitempty" json:"server_name,omitempty"`
	// CA, Cert and Key are PEM files: who signed its certificate, and ours.
	CA   string `yaml:"ca,omitempty" json:"ca,omitempty"`
	Cert string `yaml:"cert,omitempty" json:"cert,omitempty"`
	Key  string `yaml:"key,omitempty" json:"key,omitempty"`
	// ClientID is our EPP client id; PasswordFile holds its password, and nobody
	// but its owner may read it.
	ClientID     string `yaml:"client_id" json:"client_id"`
	PasswordFile string `yaml:"password_file" json:"password_file"`
	// RDAP is the base URL of its RDAP service.
	RDAP string `yaml:"rdap,omitempty" json:"rdap,omitempty"`
	// Parents are the addresses of its zones' servers; empty: found through
	// the resolvers.
	Parents []string `yaml:"parents,omitempty" json:"parents,omitempty"`
}

// ReportConfig is who we are to the people whom we warn.
type ReportConfig struct {
	// Organisation is our name; From our mailbox.
	Organisation string `yaml:"organisation,omitempty" json:"organisation,omitempty"`
	From         string `yaml:"from,omitempty" json:"from,omitempty"`
	// Phone and Domain are how a recipient checks that we are who we say: the
	// number as published elsewhere, and our own domain.
	Phone  string `yaml:"phone,omitempty" json:"phone,omitempty"`
	Domain string `yaml:"domain,omitempty" json:"domain,omitempty"`
}

// ConfigFile is the file in the state folder that holds the configuration.
const ConfigFile = "impound.yaml"

// LoadConfig reads the configuration at path, or state/impound.yaml when path
// is empty; a missing default file is the zero configuration. Unknown keys are
// errors with their line.
func LoadConfig(state, path string) (Config, error) {
	var c Config
	named := path != ""
	if !named {
		path = filepath.Join(state, ConfigFile)
	}
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) && !named {
		return c, nil
	}
	if err != nil {
		return c, impound.Errorf(impound.KindInvalid, "couldn't read the configuration: %w", err).WithCure("give another file with --config, or make one: impound config init")
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && err != io.EOF {
		return c, yamlProblems(path, err)
	}
	if ps := c.Check(state); len(ps) > 0 {
		for _, p := range ps {
			p.Where = path + ": " + p.Where
		}
		return c, ps
	}
	return c, nil
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (?:field (\S+) not found in type \S+)?(.*)$`)

// yamlProblems gives each fault of the reader its place.
func yamlProblems(path string, err error) impound.Problems {
	lines := []string{err.Error()}
	var te *yaml.TypeError
	if errors.As(err, &te) {
		lines = te.Errors
	}
	var ps impound.Problems
	for _, l := range lines {
		e := impound.Errorf(impound.KindInvalid, "%s", strings.TrimPrefix(l, "yaml: ")).At(path)
		if m := yamlLine.FindStringSubmatch(l); m != nil {
			e.Where, e.Msg = path+":"+m[1], m[3]
			if m[2] != "" {
				e.Msg = "there is no key " + m[2] + m[3]
			}
		}
		ps = append(ps, e.WithCure("impound config reference lists every key"))
	}
	return ps
}

// Check finds what is wrong with c before anything starts.
func (c *Config) Check(state string) impound.Problems {
	var ps impound.Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(where).WithCure(cure))
	}
	if c.Web != "" {
		if host, _, err := net.SplitHostPort(c.Web); err != nil {
			bad("web", "write HOST:PORT, such as 127.0.0.1:8480", "%q is no address to listen on", c.Web)
		} else if !loopback(host) {
			bad("web", "listen on 127.0.0.1 and reach it through ssh -L, or a proxy that knows who may look", "the pages have no TLS of their own, so %s is refused", c.Web)
		}
	}
	for i, r := range c.Access.Local {
		if !slices.Contains(impound.Roles, impound.Role(r)) && (r != "none" || len(c.Access.Local) > 1) {
			bad(fmt.Sprintf("access.local[%d]", i), "write analyst, counsel, approver, operator, notifier, auditor or admin; or none, alone", "%q is no role", r)
		}
	}
	for i, l := range c.Sinkhole.Listen {
		if err := sinkhole.CheckListener(l); err != nil {
			e := impound.Errorf(impound.KindInvalid, "%q is no listener: %w", l, err)
			var ie *impound.Error
			if errors.As(err, &ie) {
				e = impound.Errorf(ie.Kind, "%s", ie.Msg).WithCure(ie.Cure)
			}
			ps = append(ps, e.At(fmt.Sprintf("sinkhole.listen[%d]", i)))
		}
	}
	for _, d := range c.durations() {
		if d.text != "" {
			if v, err := time.ParseDuration(d.text); err != nil || v < d.least {
				bad(d.where, "write a time span such as "+d.like, "%q is no time span of %s or more", d.text, d.least)
			}
		}
	}
	for where, n := range map[string]int{"sinkhole.max_spool_mb": c.Sinkhole.MaxSpoolMB, "sinkhole.segment_kb": c.Sinkhole.SegmentKB} {
		if n < 0 {
			bad(where, "write a size, or leave it out", "%d is no size", n)
		}
	}
	if e := c.checkPersonal(); e != nil {
		ps = append(ps, e)
	}
	ps = append(ps, c.checkContest()...)
	ps = append(ps, c.checkRole(state)...)
	ps = append(ps, c.checkCapture()...)
	ps = append(ps, c.checkWatch()...)
	ps = append(ps, c.checkEnrich(state)...)
	for _, a := range c.Sinkhole.Answer {
		if !a.IsValid() {
			bad("sinkhole.answer", "write IP addresses", "an empty address")
		}
	}
	if k := c.Sinkhole.Capacity; k.QueriesPerSecond < 0 || k.Servers < 0 {
		bad("sinkhole.capacity", "write what was measured, or leave it out", "a fleet can't bear less than nothing")
	} else if _, err := time.Parse(time.DateOnly, k.Measured); k.Measured != "" && err != nil {
		bad("sinkhole.capacity.measured", "write a date such as 2026-11-20", "%q is no date", k.Measured)
	}
	if c.PassiveDNS != "" {
		if _, err := os.Stat(c.Path(state, c.PassiveDNS)); err != nil {
			bad("passive_dns", "put the file there, or correct the path", "couldn't find %s", c.PassiveDNS)
		}
	}
	for words, r := range c.Registrants {
		var ie *impound.Error
		if err := r.Check(); errors.As(err, &ie) {
			bad("registrants."+words, ie.Cure, "%s", ie.Msg)
		}
	}
	if _, err := c.custodyEvery(); err != nil {
		bad("custody_every", `write "6h", "30m", or "off"`, "%v", err)
	}
	if _, err := every(c.PollEvery, 5*time.Minute); err != nil {
		bad("poll_every", `write "5m", "1h", or "off"`, "%v", err)
	}
	if _, err := every(c.Seal.Every, 24*time.Hour); err != nil {
		bad("seal.every", `write "24h", "1h", or "off"`, "%v", err)
	}
	if _, err := c.sealers(state); err != nil {
		bad("seal", "write witnesses as URL=KEY, authorities as https:// URLs, and tsa_ca as a PEM file", "%v", err)
	}
	seen := map[string]string{}
	for i, r := range c.Registries {
		at := fmt.Sprintf("registries[%d]", i)
		if r.Provider == "" || r.EPP == "" || r.ClientID == "" || r.PasswordFile == "" {
			bad(at, "fill in provider, epp, client_id and password_file", "a registry that nobody could log in to")
		}
		if r.Role != "registry" && r.Role != "registrar" {
			bad(at+".role", "write registry or registrar", "%q is no role", r.Role)
		}
		if len(r.TLDs) == 0 {
			bad(at+".tlds", "list the top-level domains that it runs", "no top-level domains")
		}
		for _, t := range r.TLDs {
			if other, dup := seen[t]; dup {
				bad(at+".tlds", "give each top-level domain to one provider", ".%s is claimed by %s and %s", t, other, r.Provider)
			}
			seen[t] = r.Provider
		}
		if r.RDAP != "" {
			if u, err := url.Parse(r.RDAP); err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u.Hostname()) {
				bad(at+".rdap", "write an https:// URL", "%q is no RDAP base URL", r.RDAP)
			}
		}
		for _, f := range []string{r.CA, r.Cert, r.Key, r.PasswordFile} {
			if f != "" {
				if _, err := os.Stat(c.Path(state, f)); err != nil {
					bad(at, "put the file there, or correct the path", "couldn't find %s", f)
				}
			}
		}
	}
	c.validateZones(state, seen, bad)
	c.checkAsked(state, seen, bad)
	for from, to := range c.Routes {
		if host, _, err := net.SplitHostPort(to); err != nil || !loopback(host) {
			bad("routes", "routes are for practice on this machine: send to 127.0.0.1:PORT", "%s is sent to %s, which is not on loopback", from, to)
		}
	}
	return ps
}

type durationField struct {
	where, text, like string
	least             time.Duration
}

func (c *Config) durations() []durationField {
	return []durationField{
		{"sinkhole.sync_every", c.Sinkhole.SyncEvery, "1s", time.Millisecond},
		{"sinkhole.limits.head_timeout", c.Sinkhole.Limits.HeadTimeout, "10s", time.Millisecond},
		{"sinkhole.limits.idle_timeout", c.Sinkhole.Limits.IdleTimeout, "60s", time.Millisecond},
		{"hub.policy_valid", c.Hub.PolicyValid, "24h", time.Second},
		{"capture.timeout", c.Capture.Timeout, "20s", time.Millisecond},
		{"watch.poll", c.Watch.Poll, "2s", 10 * time.Millisecond},
		{"watch.enrich.refresh", c.Watch.Enrich.Refresh, "168h", time.Hour},
		{"watch.enrich.registry_every", c.Watch.Enrich.RegistryEvery, "1s", time.Millisecond},
		{"watch.enrich.host_every", c.Watch.Enrich.HostEvery, "1s", time.Millisecond},
	}
}

// span reads a time span that Check has seen; 0 for none.
func span(s string) time.Duration {
	d, _ := time.ParseDuration(s)
	return d
}

// The roles of a process.
const (
	RoleAll    = "all"
	RoleHub    = "hub"
	RoleSensor = "sensor"
)

func (c *Config) checkRole(state string) impound.Problems {
	var ps impound.Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(where).WithCure(cure))
	}
	switch c.Role {
	case "", RoleAll, RoleHub, RoleSensor:
	default:
		bad("role", "write all, hub or sensor", "%q is no role", c.Role)
	}
	for where, u := range map[string]string{"hub.listen": c.Hub.Listen, "hub.url": c.Hub.URL, "control.url": c.Control.URL} {
		if u != "" {
			if err := sensor.CheckControl(u); err != nil {
				var ie *impound.Error
				if errors.As(err, &ie) {
					bad(where, ie.Cure, "%s", ie.Msg)
				}
			}
		}
	}
	if a := c.Sinkhole.ACME; a.Directory != "" {
		if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
			bad("sinkhole.acme.directory", "write its https:// address", "%q is no directory of an ACME authority", a.Directory)
		}
		if !a.AgreeTOS {
			bad("sinkhole.acme.agree_tos", "read the authority's terms, then write agree_tos: true", "nobody agreed to the authority's terms of service")
		}
	}
	if (c.Sinkhole.DoTCert == "") != (c.Sinkhole.DoTKey == "") {
		bad("sinkhole", "give both dot_cert and dot_key, or neither", "a certificate goes with its key")
	}
	if (c.Hub.Cert == "") != (c.Hub.Key == "") {
		bad("hub", "give both cert and key, or neither", "a certificate goes with its key")
	}
	for where, f := range map[string]string{"hub.cert": c.Hub.Cert, "hub.key": c.Hub.Key, "control.ca": c.Control.CA, "control.token_file": c.Control.TokenFile,
		"sinkhole.dot_cert": c.Sinkhole.DoTCert, "sinkhole.dot_key": c.Sinkhole.DoTKey, "sinkhole.acme.ca": c.Sinkhole.ACME.CA} {
		if f != "" {
			if _, err := os.Stat(c.Path(state, f)); err != nil {
				bad(where, "put the file there, or correct the path", "couldn't find %s", f)
			}
		}
	}
	if c.Control.HubKey != "" {
		if _, err := c.Control.HubKey.Ed25519(); err != nil {
			bad("control.hub_key", "take what impound sensor key prints on the hub", "%v", err)
		}
	}
	if c.Role == RoleSensor {
		ps = append(ps, c.checkSensor()...)
	}
	return ps
}

// checkSensor finds what a sensor lacks.
func (c *Config) checkSensor() impound.Problems {
	var ps impound.Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(where).WithCure(cure))
	}
	if c.Sinkhole.Sensor == "" {
		bad("sinkhole.sensor", "give it the name that it was enrolled by", "a sensor needs a name")
	}
	if len(c.Sinkhole.Listen) == 0 {
		bad("sinkhole.listen", "for example dns://0.0.0.0:53 and http://0.0.0.0:80", "a sensor needs listeners")
	}
	if c.Control.HubKey == "" {
		bad("control.hub_key", "take what impound sensor key prints on the hub", "a sensor needs the public key of its hub")
	}
	if c.Control.URL == "" && c.Control.PolicyFile == "" {
		bad("control", "fill in control: url:, or control: policy_file:", "no orders could reach this sensor")
	}
	if c.Control.URL != "" && c.Control.TokenFile == "" {
		bad("control.token_file", "impound sensor enrol on the hub makes one", "the hub wouldn't know this sensor without a token")
	}
	return ps
}

// custodyEvery reads CustodyEvery; 0 is off.
func (c *Config) custodyEvery() (time.Duration, error) { return every(c.CustodyEvery, 6*time.Hour) }

// every reads how often something is done; 0 is never.
func every(text string, usual time.Duration) (time.Duration, error) {
	switch text {
	case "":
		return usual, nil
	case "off", "0":
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no time span", text)
	}
	if d < time.Minute {
		return 0, fmt.Errorf("%s is too often: others are asked each time", d)
	}
	return d, nil
}

// Path makes a path of the configuration absolute or relative to the working
// directory.
func (c *Config) Path(state, p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(state, p)
}

// YAML gives the configuration as a file.
func (c Config) YAML() []byte {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(c); err != nil {
		panic(err) // plain data always encodes
	}
	return b.Bytes()
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
