package seizure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
)

// ChildStatus is what the servers show that a name is delegated to: a fourth view,
// for information. Whether a name is done goes by the other three: what a server
// says of itself, its holder chooses.
type ChildStatus struct {
	State   string      `json:"state"`
	Why     string      `json:"why"`
	Servers []OwnServer `json:"servers,omitempty"`
}

// OwnServer is one of them.
type OwnServer struct {
	Host          string   `json:"host"`
	Addr          string   `json:"addr,omitempty"`
	RCode         string   `json:"rcode,omitempty"` // of its last answer; "": it gave none
	Authoritative bool     `json:"authoritative"`
	Lame          bool     `json:"lame,omitempty"` // it answers, but not with authority
	NS            []string `json:"ns,omitempty"`
	SOA           string   `json:"soa,omitempty"`
	Err           string   `json:"err,omitempty"`
}

// judgeChild says whether the name's own servers answer for it, and with the
// ordered name servers.
func judgeChild(acts impound.Acts, former *State, v observe.View) *ChildStatus {
	out := &ChildStatus{State: AsOrdered}
	if len(v.Servers) == 0 {
		if out.State, out.Why = Unknown, v.Err; acts.Hold {
			out.State, out.Why = AsOrdered, "not asked: "+v.Err
		}
		return out
	}
	var why []string
	for _, s := range v.Servers {
		out.Servers = append(out.Servers, OwnServer{Host: s.Server, Addr: s.Addr, RCode: s.RCode, Authoritative: s.Authoritative, Lame: s.Lame, NS: s.NS, SOA: s.SOA, Err: s.Err})
		state, w := AsOrdered, "it answers with authority"
		switch {
		case s.Lame:
			state, w = Otherwise, "lame: "+s.Err
		case s.Err != "":
			state, w = Unknown, s.Err
		case acts.Hold:
			state, w = NotYet, "it is delegated still"
		case !s.Exists:
			state, w = Otherwise, fmt.Sprintf("it says that the name is not there (%s)", s.RCode)
		case len(acts.Nameservers) > 0 && len(s.NS) == 0:
			state, w = Otherwise, "it answers with authority, and names no name servers"
		case len(acts.Nameservers) > 0:
			state, w = judgeSet(s.NS, texts(acts.Nameservers), formerNS(former))
		}
		out.State = worse(out.State, state)
		if w = dots([]string{s.Server}) + ": " + w; !slices.Contains(why, w) {
			why = append(why, w)
		}
	}
	out.Why = strings.Join(why, "; ")
	return out
}
