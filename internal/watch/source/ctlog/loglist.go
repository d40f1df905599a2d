package ctlog

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
)

// listStates are the states of a log list in which a log can be read with sense:
// the others have no entries yet, or are gone.
var listStates = []string{"usable", "qualified", "readonly"}

// maxList bounds a log list; Google's has 300 kB.
const maxList = 16 << 20

type listedLog struct {
	Description string                     `json:"description"`
	ID          []byte                     `json:"log_id"`
	Key         []byte                     `json:"key"`
	URL         string                     `json:"url"`
	Submission  string                     `json:"submission_url"`
	Monitoring  string                     `json:"monitoring_url"`
	State       map[string]json.RawMessage `json:"state"`
	Type        string                     `json:"log_type"`
	Interval    *struct {
		Start time.Time `json:"start_inclusive"`
		End   time.Time `json:"end_exclusive"`
	} `json:"temporal_interval"`
}

// ReadList reads a log list in the JSON format that Google and Apple publish
// (https://www.gstatic.com/ct/log_list/v3/log_list_schema.json). It gives the logs that are worth
// reading at the time now: usable, qualified or read-only, no test logs, and not
// those for certificates that have all expired. An entry of the list that can't
// be used is a problem, and the others still count.
func ReadList(r io.Reader, now time.Time) (logs []Info, problems impound.Problems, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxList+1))
	if err != nil {
		return nil, nil, fmt.Errorf("couldn't read the log list: %w", err)
	}
	if len(b) > maxList {
		return nil, nil, impound.Errorf(impound.KindInvalid, "the log list is longer than %d MB", maxList>>20)
	}
	var list struct {
		Operators []struct {
			Name  string      `json:"name"`
			Logs  []listedLog `json:"logs"`
			Tiled []listedLog `json:"tiled_logs"`
		} `json:"operators"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, nil, impound.Errorf(impound.KindInvalid, "couldn't read the log list: %w", err).WithCure("it is the JSON of https://www.gstatic.com/ct/log_list/v3/log_list.json")
	}
	if len(list.Operators) == 0 {
		return nil, nil, impound.Errorf(impound.KindInvalid, "the log list names no operator").WithCure("it is the JSON of https://www.gstatic.com/ct/log_list/v3/log_list.json")
	}
	seen := map[string]bool{}
	for _, op := range list.Operators {
		for i, l := range slices.Concat(op.Logs, op.Tiled) {
			tiled := i >= len(op.Logs)
			state := ""
			for s := range l.State {
				state = s
			}
			if !slices.Contains(listStates, state) || l.Type == "test" || l.Interval != nil && !l.Interval.End.IsZero() && !now.Before(l.Interval.End) {
				continue
			}
			info := Info{Name: l.Description, Kind: RFC6962, URL: l.URL, Key: l.Key, State: state}
			if tiled {
				info.Kind, info.URL, info.Monitor = Static, l.Submission, l.Monitoring
			}
			if info.Name == "" {
				info.Name = strings.TrimPrefix(info.URL, "https://")
			}
			where := fmt.Sprintf("log %.80q of %.80q", l.Description, op.Name)
			switch id := sha256.Sum256(l.Key); {
			case len(l.Key) == 0 || info.URL == "" || tiled && info.Monitor == "":
				problems = append(problems, impound.Errorf(impound.KindInvalid, "has no key or no address").At(where))
				continue
			case string(id[:]) != string(l.ID):
				problems = append(problems, impound.Errorf(impound.KindInvalid, "its id is not that of its key").At(where))
				continue
			}
			if !seen[info.ID()] {
				seen[info.ID()] = true
				logs = append(logs, info)
			}
		}
	}
	return logs, problems, nil
}
