package main

import (
	"context"
	"hash/fnv"
	"maps"
	"math"
	"slices"

	"github.com/impound/impound/internal/parallel"
	"github.com/impound/impound/internal/watch/dga"
	"github.com/impound/impound/internal/watch/profile"
)

// folds of actors: what is learnt of how an actor goes on must not rest on a
// prior that was learnt from its own names.
const folds = 4

func foldOf(actor string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(actor))
	return int(h.Sum32()>>7) % folds
}

// trainTogether learns how much each habit counts beside the others, and which
// hosts actors choose: from everything, or from what is before the splits. It
// gives what [profile.UseTogether] reads, and the model of hosts, and leaves
// profile.Prior as it was.
func trainTogether(actors map[string][]batch, nrd [][]string, all bool) (together, hosts []byte, err error) {
	prior, host := profile.Prior, profile.HostPrior
	defer func() { profile.Prior, profile.HostPrior = prior, host }()
	var ws []*profile.Went
	for f := range folds {
		others := map[string][]batch{}
		for a, bs := range actors {
			if foldOf(a) != f {
				others[a] = bs
			}
		}
		if profile.Prior, err = dga.NewModel(dga.Train(priorExamples(others, nrd, all), 4, 1)); err != nil {
			return nil, nil, err
		}
		if profile.HostPrior, err = dga.NewModel(dga.Train(hostExamples(others, nrd, all), 6, 1)); err != nil {
			return nil, nil, err
		}
		// Those that the prior was not learnt from, and others for each half.
		var rest []string
		for i, r := range nrd {
			if (all || r[0] < nrdSplit) && i%3 == 1 && i/3%2 == f%2 {
				rest = append(rest, r[1])
			}
		}
		neg := seenAll(ordinary(rest, 40_000))
		type turn struct {
			actor  string
			before []profile.Example
			names  []string
		}
		var turns []turn
		for _, a := range slices.Sorted(maps.Keys(actors)) {
			if foldOf(a) != f {
				continue
			}
			var before []profile.Example
			done := map[bool]int{} // by whether it is of late
			for _, b := range actors[a] {
				late := b.date >= actorSplit
				if len(before) >= 5 && len(b.names) >= 5 && done[late] < 8 && (all || !late) {
					done[late]++
					turns = append(turns, turn{a, slices.Clone(before), b.names})
					if len(b.names) >= 15 {
						five, rest := pick(b.names, 5)
						turns = append(turns, turn{a, append(slices.Clone(before), five...), rest})
					}
				}
				for _, n := range b.names {
					before = append(before, profile.Example{Name: n})
				}
				before = before[max(0, len(before)-3000):]
			}
		}
		went := make([]*profile.Went, len(turns))
		_ = parallel.Some(context.Background(), 2, len(turns), func(i int) {
			went[i] = profile.Gather(turns[i].actor, turns[i].before, turns[i].names, neg)
		})
		for _, w := range went {
			if w != nil {
				ws = append(ws, w)
			}
		}
	}
	if together, err = profile.TrainTogether(ws, 0); err != nil {
		return nil, nil, err
	}
	return together, dga.Train(hostExamples(actors, nrd, all), 6, 1), nil
}

// hostExamples gives at most 300 hosts of each actor, and those that came with
// new registrations.
func hostExamples(actors map[string][]batch, nrd [][]string, all bool) []dga.Example {
	var out []dga.Example
	for _, a := range slices.Sorted(maps.Keys(actors)) {
		var names []string
		for _, b := range actors[a] {
			for _, n := range b.names {
				if (all || b.date < actorSplit) && profile.IsHost(n) {
					names = append(names, n)
				}
			}
		}
		n := min(len(names), 300)
		for i := range n {
			out = append(out, dga.Example{Name: names[i*len(names)/n], DGA: true, Weight: float32(3 / math.Sqrt(float64(max(n, 10))/10))})
		}
	}
	for _, r := range nrd {
		if (all || r[0] < nrdSplit) && profile.IsHost(r[1]) {
			out = append(out, dga.Example{Name: r[1], Weight: 1})
		}
	}
	return out
}
