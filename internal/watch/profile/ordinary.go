package profile

// What is common among new registrations, as shares; rounded, from the
// development data of 2024. A suffix or a shape that is not listed has the last
// value.

var tlds = map[string]float64{
	"com": .49, "net": .08, "org": .018, "info": .015, "top": .035, "xyz": .03, "shop": .022, "online": .019, "se": .065, "ee": .046, "sk": .024,
	"lol": .017, "store": .0096, "site": .009, "app": .008, "vip": .0058, "nu": .0054, "buzz": .0046, "asia": .0042, "pro": .0041, "live": .0038,
	"life": .0037, "fun": .0035, "club": .0033, "click": .0032, "icu": .0032, "biz": .0027, "today": .0026, "rest": .0024, "dev": .0022,
	"cn": .0005, "ru": .0005, "de": .001, "uk": .001, "us": .001, "co": .001, "in": .001, "io": .001, "me": .001, "cc": .001, "space": .002, "website": .002, "tech": .002, "cloud": .0015, "link": .001, "world": .001, "bond": .001, "cyou": .001, "sbs": .001,
}

func tldShare(tld []byte) float64 {
	if s, ok := tlds[string(tld)]; ok {
		return s
	}
	return .0004
}

func shapeShare(kind int, s uint32) float64 {
	if f, ok := shapeShares[kind][s]; ok {
		return max(f, .0003)
	}
	return .0003
}

var shapeShares = [nShapes]map[uint32]float64{
	{4: 0.8907, 5: 0.07288, 6: 0.01316, 7: 0.01224, 8: 0.00896, 9: 0.0008034, 12: 0.000558},
	{0: 0.7368, 1: 0.09336, 2: 0.06341, 3: 0.05937, 4: 0.04705},
	{1: 0.006522, 2: 0.06232, 3: 0.1485, 4: 0.1473, 5: 0.1477, 6: 0.1263, 7: 0.1008, 8: 0.07216, 9: 0.049, 10: 0.03055, 11: 0.01905, 12: 0.01136, 13: 0.006609, 14: 0.00397, 15: 0.06778},
	{0: 0.006443, 1: 0.2041, 2: 0.27, 3: 0.1974, 4: 0.1015, 5: 0.04031, 6: 0.01337, 7: 0.004069, 8: 0.06322, 33: 0.006594, 34: 0.0238, 35: 0.02478, 36: 0.01285, 37: 0.003914, 38: 0.001294, 39: 0.000372, 66: 0.000938, 67: 0.003748, 68: 0.00389, 69: 0.002814, 70: 0.001179, 71: 0.000372, 99: 0.001219, 100: 0.002956, 101: 0.002569, 102: 0.002125, 103: 0.001496, 104: 0.00184},
}
