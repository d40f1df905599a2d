package demo

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
)

// The four names that the press printed from Microsoft's action against APT35
// of March 2019.
var pressNames = []string{"outlook-verify.net", "yahoo-verify.net", "verification-live.com", "myaccount-services.net"}

// planted is the name that a gate must keep out: 84,000 strangers' names lay
// below it when it was seized by mistake in February 2011.
var planted = impound.MustName("mooo.com")

// Ids of the tour.
const (
	caseID   = "APT35-2019"
	actorID  = "APT35"
	orderID  = "O-PRACTICE-1"
	provider = "practice"
)

// sinkAddr is where the practice world knows the sinkhole; Routes lead to its
// real ports.
var sinkAddr = netip.MustParseAddr("127.53.0.53")

var sinkNS = []impound.Name{impound.MustName("ns1.sinkhole.example"), impound.MustName("ns2.sinkhole-two.example")}

// networks is the practice map of who is responsible for which address.
const networks = `prefix,asn,name,country,abuse,sector,kind
127.10.0.0/16,64500,Example University,NL,abuse@university.example,education,access
127.11.0.0/16,64501,Example Telecom,DE,abuse@telecom.example,telecom,access
127.12.0.0/16,64502,Example Think Tank,US,it@thinktank.example,civil society,access
127.13.0.0/16,64503,Example Resolver,DE,noc@resolver.example,telecom,hosting
127.20.0.0/16,64510,Example Mail Security,US,abuse@mailsec.example,security,mail-security
127.30.0.0/16,64520,Example Cloud,SG,abuse@cloud.example,hosting,hosting
127.40.0.0/16,64530,Example Research Institute,FR,cert@research.example,research,research
`

// scenario is what the tour keeps beside the state, so that a second run on the
// same folder goes on where the first was stopped.
type scenario struct {
	Names []impound.Name `json:"names"`
	Ports map[string]int `json:"ports"`
}

func (s scenario) addr(service string) string {
	return fmt.Sprintf("127.0.0.1:%d", s.Ports[service])
}

// wanted are the ports of the tour, with those that it would like.
var wanted = []struct {
	service string
	port    int
}{
	{"web", 8480}, {"epp", 8700}, {"rdap", 8781}, {"parent", 8753}, {"resolver", 8853}, {"actor-dns", 8754}, {"actor-http", 8780},
	{"dns", 8053}, {"http", 8080}, {"https", 8443}, {"smtp", 8025}, {"tcp", 8022},
}

// choosePorts keeps ports that are free and replaces those that are not.
func (s *scenario) choosePorts(any bool) error {
	if s.Ports == nil {
		s.Ports = map[string]int{}
	}
	used := map[int]bool{}
	for _, w := range wanted {
		p := s.Ports[w.service]
		if p == 0 && !any {
			p = w.port
		}
		if p == 0 || used[p] || !free(p) {
			var err error
			if p, err = anyPort(used); err != nil {
				return err
			}
		}
		used[p] = true
		s.Ports[w.service] = p
	}
	return nil
}

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	l.Close()
	u, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	u.Close()
	return true
}

// anyPort finds a free port below those that the system hands out to clients: one
// of these would be taken by somebody's connection before long.
func anyPort(used map[int]bool) (int, error) {
	for range 200 {
		if p := 10_000 + mrand.IntN(20_000); !used[p] && free(p) {
			return p, nil
		}
	}
	return 0, impound.Errorf(impound.KindUnavailable, "couldn't find a free port on loopback").WithCure("close some programs and try again")
}

// loadScenario reads or makes the scenario in practice/. namesFile replaces the
// four names; a bad line is reported and the rest goes on.
func loadScenario(state, namesFile string, anyPorts bool) (scenario, impound.Problems, error) {
	var s scenario
	path := filepath.Join(state, "practice", "scenario.json")
	var problems impound.Problems
	names := make([]impound.Name, 0, len(pressNames))
	if namesFile != "" {
		data, err := os.ReadFile(namesFile)
		if err != nil {
			return s, nil, impound.Errorf(impound.KindInvalid, "couldn't read the names: %w", err)
		}
		var list []casework.AddName
		list, problems = casework.ReadNames(namesFile, bytes.NewReader(data))
		for _, l := range list {
			r, err := l.Name.RegistryDomain()
			if err != nil {
				problems = append(problems, impound.Errorf(impound.KindInvalid, "%w", err).At(namesFile))
				continue
			}
			if !slices.Contains(names, r) {
				names = append(names, r)
			}
		}
		if len(names) == 0 {
			return s, problems, impound.Errorf(impound.KindInvalid, "holds no name").At(namesFile).WithCure("give a file with a name a line")
		}
	} else {
		for _, n := range pressNames {
			names = append(names, impound.MustName(n))
		}
	}
	data, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &s); err != nil {
			return s, problems, impound.Errorf(impound.KindInvalid, "couldn't read the tour's scenario: %w", err).At(path).WithCure("delete the state folder to begin anew")
		}
		if namesFile != "" && !slices.Equal(names, s.Names) {
			return s, problems, impound.Errorf(impound.KindConflict, "this folder holds a tour with other names").At(state).WithCure("choose another folder with --state, or delete this one")
		}
	case os.IsNotExist(err):
		s.Names = names
	default:
		return s, problems, impound.Errorf(impound.KindUnavailable, "couldn't read the tour's scenario: %w", err)
	}
	if err := s.choosePorts(anyPorts); err != nil {
		return s, problems, err
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return s, problems, err
	}
	return s, problems, writeFile(path, append(out, '\n'))
}

func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't make a folder: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write: %w", err)
	}
	return nil
}

// keepFile gives the content of path, made by mk at first.
func keepFile(path string, mk func() ([]byte, error)) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) > 0 {
		return b, nil
	}
	if b, err = mk(); err != nil {
		return nil, err
	}
	return b, writeFile(path, b)
}

// registryPassword gives the password of the practice registry's account.
func registryPassword(state string) (string, error) {
	b, err := keepFile(filepath.Join(state, "practice", "registry.password"), func() ([]byte, error) {
		b := make([]byte, 8) // EPP passwords have at most 16 characters
		rand.Read(b)
		return []byte(hex.EncodeToString(b) + "\n"), nil
	})
	return strings.TrimSpace(string(b)), err
}

// notifyRecipient makes the notification team's age key, as a team would on a
// machine of its own, and gives its public half.
func notifyRecipient(state string) (string, error) {
	b, err := keepFile(filepath.Join(state, "practice", "notify-team.agekey"), func() ([]byte, error) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, err
		}
		return []byte(id.String() + "\n"), nil
	})
	if err != nil {
		return "", err
	}
	id, err := age.ParseX25519Identity(strings.TrimSpace(string(b)))
	if err != nil {
		return "", impound.Errorf(impound.KindInvalid, "couldn't read the practice key: %w", err)
	}
	return id.Recipient().String(), nil
}

// tlds gives the zones that the practice registry must run. Name servers lie
// under .example, which it does not: they are external hosts to it.
func (s scenario) tlds() []string {
	out := []string{"com", "net"}
	for _, n := range append([]impound.Name{planted}, s.Names...) {
		if suffix, _ := n.PublicSuffix(); !slices.Contains(out, suffix.String()) {
			out = append(out, suffix.String())
		}
	}
	return out
}

// config writes the configuration that the commands by hand use too.
func (s scenario) config(state, recipient string, registryCA, cert, key string) (app.Config, error) {
	c := app.Config{
		Web: s.addr("web"),
		Sinkhole: app.SinkholeConfig{
			Sensor:     "practice-1",
			Listen:     []string{"dns://" + s.addr("dns"), "http://" + s.addr("http"), "https://" + s.addr("https"), "smtp://" + s.addr("smtp"), "tcp://" + s.addr("tcp")},
			Answer:     []netip.Addr{sinkAddr},
			NS:         sinkNS,
			Hostmaster: impound.MustName("hostmaster.crimes-unit.example"),
			Contact:    "Practice Crimes Unit, +1 555 0100",
			SealTo:     []string{recipient},
		},
		Registries: []app.RegistryConfig{{
			Provider: provider, Role: "registry", TLDs: s.tlds(),
			EPP: s.addr("epp"), ServerName: "localhost", CA: registryCA, Cert: cert, Key: key,
			ClientID: "IMPOUND", PasswordFile: filepath.Join("practice", "registry.password"),
			RDAP: "http://" + s.addr("rdap") + "/", Parents: []string{s.addr("parent")},
		}},
		Resolvers: []string{s.addr("resolver")},
		Networks:  filepath.Join("practice", "networks.csv"),
		Report:    app.ReportConfig{Organisation: "Practice Crimes Unit", From: "reports@crimes-unit.example", Phone: "+1 555 0100", Domain: "crimes-unit.example"},
		Routes: map[string]string{
			sinkAddr.String() + ":53": s.addr("dns"), sinkAddr.String() + ":80": s.addr("http"), sinkAddr.String() + ":443": s.addr("https"),
			"127.53.0.66:53": s.addr("actor-dns"), "127.53.0.66:80": s.addr("actor-http"),
		},
	}
	if err := writeFile(filepath.Join(state, "practice", "networks.csv"), []byte(networks)); err != nil {
		return c, err
	}
	head := "# Written by impound demo. Everything here is practice and on loopback.\n"
	return c, writeFile(filepath.Join(state, app.ConfigFile), append([]byte(head), c.YAML()...))
}

// stream is a day's new names as they would come from a feed: the actor's among
// others, and a line that is no name.
func (s scenario) stream() []byte {
	others := []string{"gardening-tips.example", "bluebird-coffee.example", "outlookpoint-hiking.example", "riverside-dental.example", "microsoft.com", "the-verdict-podcast.example", "two..dots.example", "northwind-carpets.example", "www.outlook.com", "petersen-roofing.example"}
	var b bytes.Buffer
	b.WriteString("# newly seen names, practice\n")
	for i := range max(len(others), len(s.Names)) {
		if i < len(others) {
			b.WriteString(others[i] + "\n")
		}
		if i < len(s.Names) {
			b.WriteString(s.Names[i].String() + "\n")
		}
	}
	return b.Bytes()
}

func hasFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
