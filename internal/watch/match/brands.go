package match

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/impound/impound"
)

// Brand is somebody who is imitated.
type Brand struct {
	ID      string   `json:"-"`
	Domains []string `json:"domains"` // its own: these and all names below them are never flagged
	Tokens  []string `json:"tokens"`  // what a name that imitates it contains
}

// LoadBrands reads a JSON object of brands:
//
//	{"amazon": {"domains": ["amazon.com"], "tokens": ["amazon"]}, ...}
//
// Tokens are letters and digits (others are dropped, upper case is lowered). A
// brand without a usable token or a domain that is no name is an [impound.Error]
// of KindInvalid that names the brand. The result is sorted by ID.
func LoadBrands(r io.Reader) ([]Brand, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var m map[string]Brand
	if err := d.Decode(&m); err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read brands: %w", err).
			WithCure(`write {"brand": {"domains": ["brand.example"], "tokens": ["brand"]}}`)
	}
	if len(m) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "the brands file holds no brand").
			WithCure(`write {"brand": {"domains": ["brand.example"], "tokens": ["brand"]}}`)
	}
	brands := make([]Brand, 0, len(m))
	var ps impound.Problems
	for id, b := range m {
		b.ID = id
		if err := b.clean(); err != nil {
			ps = append(ps, err)
			continue
		}
		brands = append(brands, b)
	}
	slices.SortFunc(ps, func(a, b *impound.Error) int { return cmp.Compare(a.Where, b.Where) })
	if err := ps.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(brands, func(a, b Brand) int { return cmp.Compare(a.ID, b.ID) })
	return brands, nil
}

// clean brings b's tokens and domains into canonical form.
func (b *Brand) clean() *impound.Error {
	if b.ID == "" {
		return impound.Errorf(impound.KindInvalid, "a brand has no name").WithCure("give it a short name")
	}
	var tokens []string
	for _, t := range b.Tokens {
		t = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, strings.ToLower(t))
		if len(t) < 2 || len(t) > maxToken {
			return impound.Errorf(impound.KindInvalid, "a token has %d letters and digits: 2 to %d can be matched", len(t), maxToken).
				At("brand " + b.ID).WithCure("write the brand's name as it stands in a domain name")
		}
		if !slices.Contains(tokens, t) {
			tokens = append(tokens, t)
		}
	}
	if len(tokens) == 0 {
		return impound.Errorf(impound.KindInvalid, "the brand has no tokens").At("brand " + b.ID).
			WithCure("list what a name that imitates it would contain")
	}
	var domains []string
	for _, d := range b.Domains {
		n, err := impound.ParseName(d)
		if err != nil {
			return impound.Errorf(impound.KindInvalid, "one of its domains can't be read: %w", err).At("brand " + b.ID)
		}
		domains = append(domains, n.String())
	}
	b.Tokens, b.Domains = tokens, domains
	return nil
}

// Builtin gives the small set of brands that the demo and a first run use:
// those whose sign-in pages spear-phishing actors imitate most. It is written
// by hand and promises no completeness; give your own with a brands file.
func Builtin() []Brand {
	list := []Brand{
		{"apple", []string{"apple.com", "icloud.com", "me.com"}, []string{"apple", "icloud", "appleid", "itunes"}},
		{"dropbox", []string{"dropbox.com", "dropboxusercontent.com"}, []string{"dropbox"}},
		{"facebook", []string{"facebook.com", "fb.com", "messenger.com", "meta.com"}, []string{"facebook", "messenger"}},
		{"github", []string{"github.com", "github.io", "githubusercontent.com"}, []string{"github"}},
		{"google", []string{"google.com", "gmail.com", "youtube.com", "googleusercontent.com", "goo.gl"}, []string{"google", "gmail", "youtube", "googledrive"}},
		{"instagram", []string{"instagram.com"}, []string{"instagram"}},
		{"linkedin", []string{"linkedin.com"}, []string{"linkedin"}},
		{"microsoft", []string{"microsoft.com", "live.com", "outlook.com", "office.com", "hotmail.com", "onedrive.com", "sharepoint.com", "microsoftonline.com", "office365.com"},
			[]string{"microsoft", "outlook", "hotmail", "office365", "onedrive", "sharepoint", "msonline"}},
		{"paypal", []string{"paypal.com"}, []string{"paypal"}},
		{"proton", []string{"proton.me", "protonmail.com"}, []string{"protonmail", "protondrive"}},
		{"telegram", []string{"telegram.org", "t.me"}, []string{"telegram"}},
		{"twitter", []string{"twitter.com", "x.com"}, []string{"twitter"}},
		{"whatsapp", []string{"whatsapp.com", "whatsapp.net"}, []string{"whatsapp"}},
		{"yahoo", []string{"yahoo.com", "yahoo.co.jp", "ymail.com", "yimg.com"}, []string{"yahoo", "ymail"}},
		{"zoom", []string{"zoom.us", "zoom.com"}, []string{"zoommeeting", "zoomus"}},
	}
	for i := range list {
		if err := list[i].clean(); err != nil {
			panic(fmt.Sprint("built-in brands: ", err)) // a constant: a test would see it
		}
	}
	return list
}
