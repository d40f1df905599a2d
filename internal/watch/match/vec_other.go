//go:build !amd64

package match

const fastKeys, fastSums = false, false

func sumsAVX2(*units, *float32, *units, *uint16, *float32, int, int) float32 { return 0 }

func edgesAVX2(*slot, uint64, *[4]uint32, *keyTable) uint64 { return 0 }

func speltAVX2(*slot, uint64, *uint8, int, *[2]uint32) (five, four uint64) { return 0, 0 }

const fastSurvey = false

func surveyAVX2(*uint8, int, int, *int8, *uint8, *uint64, *uint32, *int32) uint64 { return 0 }

const fastFill = false

func fillAVX2(*scan, *uint8, int) bool { return false }

const fastLoose = false

func farAVX2(*[32]uint64, *uint8, int, *[3]uint64) uint64 { return 0 }

const fastFetch = false

func fetchHot(*hot, *found, int) {}
