package pipeline

import (
	"path/filepath"
	"time"
)

// Status of a unit, a stage, a run.
type Status string

const (
	Pending     Status = "pending"
	Running     Status = "running"
	Asking      Status = "waiting" // for a person
	Done        Status = "done"
	Skipped     Status = "skipped"
	Failed      Status = "failed"
	Refused     Status = "refused"
	Interrupted Status = "interrupted" // it can go on
)

// Result is how a unit ended, or stands.
type Result struct {
	Unit
	Status    Status     `json:"status"`
	Attempt   int        `json:"attempt,omitempty"`
	Started   time.Time  `json:"started,omitzero"`
	Ended     time.Time  `json:"ended,omitzero"`
	Exit      int        `json:"exit,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Image     string     `json:"image,omitempty"` // digest of what was built
	Approvals []Decision `json:"approvals,omitempty"`
}

// Elapsed is how long the unit took.
func (r Result) Elapsed() time.Duration {
	if r.Ended.IsZero() {
		return 0
	}
	return r.Ended.Sub(r.Started)
}

func (r Result) finished() bool { return r.Status == Done || r.Status == Skipped }

// attempt is one try of a unit, written before it begins.
type attempt struct {
	Number  int       `json:"number"`
	Worker  int       `json:"worker"` // process, and session of all that it starts
	Boot    string    `json:"boot"`   // of the machine
	Started time.Time `json:"started"`
	Log     int64     `json:"log"` // where in the log it begins
}

func (r *Run) lastAttempt(u Unit) (a attempt, err error) {
	_, err = r.load(u, "attempt.json", &a)
	return a, err
}

// result is the last one written down; its Status is Pending when there is none.
func (r *Run) result(u Unit) (Result, error) {
	res := Result{Unit: u, Status: Pending}
	_, err := r.load(u, "result.json", &res)
	return res, err
}

// now is how a unit stands at this moment.
func (r *Run) now(u Unit) (Result, error) {
	a, err := r.lastAttempt(u)
	if err != nil {
		return Result{}, err
	}
	working := holder(r.unitFile(u, "lock")) != 0
	res, err := r.result(u)
	switch {
	case err != nil || res.finished():
		return res, err
	case working && res.Attempt < a.Number:
		return Result{Unit: u, Status: Running, Attempt: a.Number, Started: a.Started}, nil
	case res.Attempt < a.Number:
		return Result{Unit: u, Status: Interrupted, Attempt: a.Number, Started: a.Started, Reason: "its worker was killed"}, nil
	}
	if q, asked, err := r.question(u); err != nil || asked && res.Status == Pending {
		return Result{Unit: u, Status: Asking, Started: q.Since, Reason: q.Question}, err
	}
	return res, nil
}

// StageState is how a stage stands.
type StageState struct {
	Name   string   `json:"name"`
	Status Status   `json:"status"`
	Units  []Result `json:"units"`
}

// State is how a run stands.
type State struct {
	ID        string       `json:"id"`
	Landscape string       `json:"landscape"`
	Pipeline  string       `json:"pipeline"`
	Site      string       `json:"site"`
	Dir       string       `json:"dir"`
	By        string       `json:"by"`
	Started   time.Time    `json:"started"`
	Status    Status       `json:"status"`
	Stages    []StageState `json:"stages"`
}

// Ended says that a run was brought to an end, good or bad. One that was interrupted
// or waits was not.
func (s State) Ended() bool {
	return s.Status == Done || s.Status == Failed || s.Status == Refused
}

// State looks at every unit. *Damaged when it cannot.
func (r *Run) State() (State, error) {
	s := State{ID: r.ID, Landscape: r.Landscape, Pipeline: r.Pipeline.Name, Site: r.Site, Dir: r.Dir, By: r.By, Started: r.Started, Status: Done}
	for i, declared := range r.Pipeline.Stages {
		stage := StageState{Name: declared.Name, Status: Done}
		for _, u := range units(r.Pipeline, i) {
			res, err := r.now(u)
			if err != nil {
				return s, err
			}
			if stage.Units = append(stage.Units, res); weight(res.Status) > weight(stage.Status) {
				stage.Status = res.Status
			}
		}
		if s.Stages = append(s.Stages, stage); weight(stage.Status) > weight(s.Status) {
			s.Status = stage.Status
		}
	}
	if s.Status == Pending { // it had begun
		s.Status = Interrupted
	}
	return s, nil
}

// weight orders statuses: the heaviest of several says how all stand.
func weight(s Status) int {
	for i, w := range []Status{Skipped, Done, Pending, Interrupted, Failed, Refused, Asking, Running} {
		if s == w {
			return i
		}
	}
	return -1
}

// alive says that somebody works on a run.
func (r *Run) alive() bool {
	locks, _ := filepath.Glob(filepath.Join(escape(r.dir), "*", "*", "lock")) // the pattern is sound
	for _, lock := range locks {
		if holder(lock) != 0 {
			return true
		}
	}
	return false
}
