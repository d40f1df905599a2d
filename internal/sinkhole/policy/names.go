package policy

// Names calls fn with each seized name of the bundle, in no order that means
// anything, until fn is false. Whether a name is in force, [Policy.Lookup] tells.
func (p *Policy) Names(fn func(zone string) bool) {
	if p == nil {
		return
	}
	a := p.table.arena
	for off := 1; off < len(a); {
		n := int(a[off+4])
		text := off + recordHead + n
		if !fn(a[text : text+n-2]) {
			return
		}
		off = text + n - 2
	}
}
