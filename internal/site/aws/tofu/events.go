package tofu

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"
)

// Kind of an Event.
type Kind string

const (
	Preparing  Kind = "preparing"  // before anything is read or changed
	Moving     Kind = "moving"     // a state, into its bucket
	Refreshing Kind = "refreshing" // a resource is read
	Started    Kind = "started"    // a resource is being changed
	Still      Kind = "still"      // … and takes more than two seconds
	Done       Kind = "done"       // it is changed
	Failed     Kind = "failed"     // it could not be, or only in part
	Stopping   Kind = "stopping"   // an interrupt was passed on
	Warning    Kind = "warning"
)

// Event is something that happened.
type Event struct {
	At      time.Time     `json:"at"`
	Kind    Kind          `json:"kind"`
	Address string        `json:"address,omitempty"`
	Action  Action        `json:"action,omitempty"`
	Elapsed time.Duration `json:"elapsed,omitempty"`
	Text    string        `json:"text,omitempty"`
}

// line of the program's machine-readable log, as far as it is used. Values of
// outputs and what provisioners print are not even read.
type line struct {
	Type    string    `json:"type"`
	Level   string    `json:"@level"`
	Message string    `json:"@message"`
	At      time.Time `json:"@timestamp"`
	Hook    struct {
		Resource struct {
			Addr string `json:"addr"`
		} `json:"resource"`
		Action  string  `json:"action"`
		Elapsed float64 `json:"elapsed_seconds"`
		ID      string  `json:"id_value"`
	} `json:"hook"`
	Diagnostic *diagnostic `json:"diagnostic"`
	Changes    struct {
		Operation string `json:"operation"`
	} `json:"changes"`
}

type diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
	Range    *struct {
		Filename string `json:"filename"`
		Start    struct {
			Line int `json:"line"`
		} `json:"start"`
	} `json:"range"`
}

// watcher follows the log: what is under way, what is done, what went wrong.
type watcher struct {
	d     *Driver
	tally *tally // nil: nothing is changed

	mu       sync.Mutex
	rest     []byte
	problems []diagnostic
	stray    []string // lines that are no JSON
	underWay map[string]*work
	complete bool // the program said that all is applied
}

type work struct {
	action     Action
	since, saw time.Time
}

func newWatcher(d *Driver, t *tally) *watcher {
	return &watcher{d: d, tally: t, underWay: map[string]*work{}}
}

// Write takes any piece of the log.
func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, b...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		w.take(bytes.TrimSpace(w.rest[:i]))
		w.rest = w.rest[i+1:]
	}
}

const mostStray = 20

func (w *watcher) take(text []byte) {
	if len(text) == 0 {
		return
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		if len(w.stray) < mostStray {
			w.stray = append(w.stray, string(text))
		}
		return
	}
	address, action := l.Hook.Resource.Addr, actionOf(l.Hook.Action)
	switch l.Type {
	case "refresh_start":
		w.d.tell(Event{Kind: Refreshing, Address: address})
	case "apply_start":
		w.underWay[address] = &work{action: action, since: w.d.now(), saw: w.d.now()}
		w.tally.begin(address, action)
		w.d.tell(Event{Kind: Started, Address: address, Action: action})
	case "apply_complete":
		delete(w.underWay, address)
		w.tally.finish(address, action, l.Hook.ID)
		w.d.tell(Event{Kind: Done, Address: address, Action: action, Elapsed: seconds(l.Hook.Elapsed)})
	case "apply_errored":
		delete(w.underWay, address)
		w.tally.fail(address, action)
		w.d.tell(Event{Kind: Failed, Address: address, Action: action, Elapsed: seconds(l.Hook.Elapsed)})
	case "change_summary":
		w.complete = w.complete || l.Changes.Operation == "apply" || l.Changes.Operation == "destroy"
	case "diagnostic":
		w.diagnose(l.Diagnostic)
	case "interrupted", "log":
		if l.Level == "warn" || l.Level == "error" {
			w.d.tell(Event{Kind: Warning, Text: l.Message})
		}
	}
}

func (w *watcher) diagnose(d *diagnostic) {
	switch {
	case d == nil:
	case d.Severity == "error":
		w.problems = append(w.problems, *d)
	default:
		w.d.tell(Event{Kind: Warning, Address: d.Address, Text: d.Summary})
	}
}

const quiet = 2 * time.Second

// beat says that what takes long is still under way.
func (w *watcher) beat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.d.now()
	for _, address := range sortedKeys(w.underWay) {
		u := w.underWay[address]
		if now.Sub(u.saw) >= quiet {
			u.saw = now
			w.d.tell(Event{At: now, Kind: Still, Address: address, Action: u.action, Elapsed: now.Sub(u.since)})
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
