package casework

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/impound/impound"
)

// TestOrderChecklist holds the order against what registries and ICANN's guidance
// ask an order for: each point is a field of the document, or a column of the
// appendix, which every recipient gets. Points that the appendix looks up by
// itself have no field.
func TestOrderChecklist(t *testing.T) {
	for _, c := range []struct{ point, field, column string }{
		// Who.
		{"court", "authority.court", "authority"},
		{"case number", "authority.docket", "docket"},
		{"judge", "authority.judge", "judge"},
		{"issue date", "issued", "issued"},
		{"signature or seal: the court's paper", "authority.instrument", "instrument"},
		{"signature or seal: ours", "signatures", "signers"},
		{"issuing party", "parties.requesting", "requesting"},
		{"counsel", "parties.counsel", "counsel"},
		{"technical contact at any hour", "parties.technical_contact", "technical_contact"},
		{"call-back check of authenticity", "authority.call_back", "call_back"},
		{"recipient's legal entity", "recipient.name", "recipient"},
		{"recipient's IANA number", "recipient.iana_id", "recipient_iana"},
		{"jurisdiction", "authority.jurisdiction", "jurisdiction"},
		{"sealed until", "sealed_until", "sealed_until"},
		{"gag", "authority.gag", "gag"},
		{"cost", "authority.cost", "cost"},
		// Names.
		{"A-label", "appendices.names.name", "a_label"},
		{"U-label", "", "u_label"},
		{"registry", "", "registry"},
		{"registrar", "appendices.names.registrar", "registrar"},
		{"registrar's IANA number", "appendices.names.registrar_iana_id", "registrar_iana"},
		{"repository object id", "appendices.names.roid", "roid"},
		{"created", "appendices.names.created", "created"},
		{"expires", "appendices.names.expires", "expires"},
		{"name servers now", "", "ns"},
		{"signed now (DS)", "", "signed"},
		{"statuses now", "", "status"},
		{"when that was seen", "", "registration_seen_at"},
		{"subdomains", "dns.subdomains", "subdomains"},
		{"IDN variants", "appendices.names.variants", "variants"},
		{"unregistered names to keep from registration", "block_create", "block_create"},
		// Registration.
		{"lock set", "acts.lock", "act_lock"},
		{"locks of one name", "appendices.names.acts.lock", "act_lock"},
		{"transfer to a registrar", "custody.transfer_to", "transfer_to"},
		{"its IANA number", "custody.transfer_iana_id", "transfer_iana"},
		{"who pays renewals", "custody.renewal_by", "renewal_by"},
		{"not to come free at expiry", "custody.no_release", "no_release"},
		{"escrow of former data", "custody.escrow", "escrow"},
		// DNS.
		{"suspend", "acts.hold", "act_hold"},
		{"or redirect: name servers", "acts.nameservers", "act_nameservers"},
		{"glue", "dns.glue.addrs", "glue"},
		{"DS removed", "acts.remove_ds", "act_remove_ds"},
		{"DS replaced", "dns.ds", "ds"},
		{"TTL", "dns.ttl", "ttl"},
		{"mail", "dns.mx", "mx"},
		{"notice page", "sinkhole.notice", ""},
		{"what may be recorded", "sinkhole.capture", "capture"},
		{"how long", "sinkhole.retention_days", "retention_days"},
		// RDDS.
		{"registrant", "acts.registrant", "act_registrant"},
		{"reason shown", "custody.shown_reason", "shown_reason"},
		// Time.
		{"in force from", "from", "from"},
		{"until", "until", "until"},
		{"execute at", "execute_at", "execute_at"},
		{"order of operations", "sequence", "sequence"},
		{"confirm by", "confirm_by", "confirm_by"},
		{"deadlines", "deadlines.due", "deadlines"},
		{"what happens at the end", "at_end", "at_end"},
		// Evidence and rights.
		{"exhibit of each name", "appendices.names.exhibit", "exhibit"},
		{"affiant", "appendices.names.affiant", "affiant"},
		{"harm", "appendices.names.harm", "harm"},
		{"confidence of the attribution", "appendices.names.confidence", "confidence"},
		{"provider asked first", "appendices.names.provider_asked", "provider_asked"},
		{"notice to third parties", "rights.notice", "notice_to_others"},
		{"contest", "rights.contest", "contest"},
		{"within how many days", "rights.contest_days", "contest_days"},
		{"bond", "rights.bond", "bond"},
		// Amendment.
		{"appendix number", "appendices.id", "appendix"},
		{"parent order", "parent.id", "parent"},
		{"its hash", "parent.hash", "parent"},
		{"clause that allows it", "parent.clause", "parent"},
		{"monitor's decision", "appendices.names.monitor_decision", "monitor_decision"},
	} {
		if c.column != "" && !slices.Contains(appendixHead, c.column) {
			t.Errorf("%s: the appendix has no column %q", c.point, c.column)
		}
		if c.field == "" {
			continue
		}
		at := reflect.TypeFor[impound.Order]()
	path:
		for step := range strings.SplitSeq(c.field, ".") {
			for at.Kind() == reflect.Pointer || at.Kind() == reflect.Slice {
				at = at.Elem()
			}
			for i := range at.NumField() {
				if name, _, _ := strings.Cut(at.Field(i).Tag.Get("yaml"), ","); name == step {
					at = at.Field(i).Type
					continue path
				}
			}
			t.Errorf("%s: an order has no field %s", c.point, c.field)
			break
		}
	}
}
