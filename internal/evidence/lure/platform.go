package lure

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Platform is a service that a mail was sent with, by the shape of its headers.
// A header can be forged: see what stands behind Why.
type Platform struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// lazy gives an expression that is compiled when it is first asked for: this
// package is part of every command, and mails are read by few.
func lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// platformRule is one shape. Header is a name, or a name that ends in * for all
// that begin so; Value, when not nil, must match what it holds. Relay matches
// the name of a server that handed the mail over.
type platformRule struct {
	name   string
	header string
	value  func() *regexp.Regexp
	relay  string
}

// platformRules are public facts of what these services write into mails, as of
// 2026-11.
var platformRules = []platformRule{
	{name: "Mailchimp", header: "x-mc-user"},
	{name: "Mailchimp", header: "x-mailer", value: lazy(`(?i)mailchimp`)},
	{name: "Mailchimp", relay: "mcsv.net"},
	{name: "Mailchimp", relay: "rsgsv.net"},
	{name: "Mailchimp", relay: "mcdlv.net"},
	{name: "Mailchimp Transactional (Mandrill)", header: "x-mandrill-user"},
	{name: "Mailchimp Transactional (Mandrill)", relay: "mandrillapp.com"},
	{name: "SendGrid", header: "x-sg-eid"},
	{name: "SendGrid", header: "x-sg-id"},
	{name: "SendGrid", relay: "sendgrid.net"},
	{name: "Mailgun", header: "x-mailgun-*"},
	{name: "Mailgun", relay: "mailgun.net"},
	{name: "Amazon SES", header: "x-ses-outgoing"},
	{name: "Amazon SES", relay: "amazonses.com"},
	{name: "HubSpot", header: "x-hs-*"},
	{name: "HubSpot", header: "x-hubspot-*"},
	{name: "HubSpot", relay: "hubspotemail.net"},
	{name: "MailerLite", header: "x-mailerlite-*"},
	{name: "MailerLite", relay: "mlsend.com"},
	{name: "Brevo (Sendinblue)", header: "x-mailin-*"},
	{name: "Brevo (Sendinblue)", header: "x-sib-id"},
	{name: "Brevo (Sendinblue)", relay: "sendinblue.com"},
	{name: "Brevo (Sendinblue)", relay: "brevo.com"},
	{name: "Constant Contact", header: "x-roving-*"},
	{name: "Constant Contact", relay: "constantcontact.com"},
	{name: "Campaign Monitor", header: "x-cmail-*"},
	{name: "Campaign Monitor", relay: "createsend.com"},
	{name: "Klaviyo", header: "x-kmail-*"},
	{name: "Klaviyo", relay: "klaviyomail.com"},
	{name: "ActiveCampaign", relay: "acems1.com"},
	{name: "ActiveCampaign", relay: "emsend1.com"},
	{name: "Postmark", header: "x-pm-message-id"},
	{name: "Postmark", relay: "mtasv.net"},
	{name: "SparkPost", header: "x-msfbl"},
	{name: "SparkPost", relay: "sparkpostmail.com"},
	{name: "Mailjet", header: "x-mj-*"},
	{name: "Mailjet", relay: "mailjet.com"},
	{name: "GetResponse", relay: "getresponse.com"},
	{name: "Zoho Campaigns", header: "x-zcsc-*"},
	{name: "Zoho", header: "x-zohomailclient"},
	{name: "Zoho", relay: "zoho.com"},
	{name: "Salesforce", header: "x-sfdc-*"},
	{name: "Salesforce Marketing Cloud", relay: "exacttarget.com"},
	{name: "Google Workspace or Gmail", header: "x-google-smtp-source"},
	{name: "Google Forms", header: "x-mailer", value: lazy(`(?i)google forms`)},
	{name: "Microsoft 365", header: "x-ms-exchange-organization-authas"},
	{name: "Microsoft 365", header: "x-ms-exchange-crosstenant-id"},
	{name: "Proton Mail", relay: "protonmail.ch"},
	{name: "Proton Mail", relay: "proton.me"},
	{name: "GoPhish", header: "x-gophish-*"},
	{name: "PHPMailer", header: "x-mailer", value: lazy(`(?i)phpmailer`)},
	{name: "King Phisher", header: "x-mailer", value: lazy(`(?i)king phisher`)},
	{name: "Microsoft Outlook Express (old)", header: "x-mailer", value: lazy(`(?i)outlook express`)},
}

func platforms(h map[string][]string, m Message) []Platform {
	var out []Platform
	add := func(name, why string) {
		if !slices.ContainsFunc(out, func(p Platform) bool { return p.Name == name }) {
			out = append(out, Platform{name, why})
		}
	}
	var keys []string
	for k := range h {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, r := range platformRules {
		if r.relay != "" {
			for _, hop := range m.Hops {
				if below(hop.Helo, r.relay) || below(hop.By, r.relay) {
					add(r.name, "handed over by a server of "+r.relay)
				}
			}
			if below(m.ReturnPath, r.relay) {
				add(r.name, "returns go to "+r.relay)
			}
			for _, s := range m.DKIM {
				if below(s.Domain, r.relay) {
					add(r.name, "claims a signature of "+r.relay)
				}
			}
			continue
		}
		for _, k := range keys {
			if k != r.header && !(strings.HasSuffix(r.header, "*") && strings.HasPrefix(k, r.header[:len(r.header)-1])) {
				continue
			}
			if r.value == nil || slices.ContainsFunc(h[k], r.value().MatchString) {
				add(r.name, "header "+r.header)
			}
		}
	}
	return out
}

func below(name, zone string) bool {
	return name == zone || strings.HasSuffix(name, "."+zone)
}
