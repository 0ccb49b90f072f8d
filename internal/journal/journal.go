// Package journal runs a list of named steps, each with do, undo and a budget,
// and writes down before and after each what it is about to do and did. After a
// crash the list is finished or undone. Rollouts, migrations and everything
// else that must not stop half-way use it; it imports only store.
package journal

import (
	"context"
	"encoding/json"
	"time"
)

// Step is one line of a list that a reader understands at a glance.
type Step struct {
	Name string
	// Do must be idempotent: after a crash it may run again.
	Do func(ctx context.Context, notes *Notes) error
	// Undo takes back what Do did, or began to do; it must be idempotent, and
	// right even when Do never ran. nil: nothing to take back.
	Undo func(ctx context.Context, notes *Notes) error
	// Keeps: what Do has done stays when the list fails; run again it goes on.
	Keeps bool
	// Budget bounds Do; 0 means only the run's context bounds it. Over budget,
	// the context of Do ends and the step has failed with ErrOverBudget.
	Budget time.Duration
	// PointOfNoReturn: once Do of this step has begun, the list is never undone
	// any more, only finished.
	PointOfNoReturn bool
}

// Run names a list of steps so that a restarted engine can build it again.
type Run struct {
	ID      string          // unique
	Kind    string          // "rollout", "cutover", …: chooses who builds the steps
	Subject string          // what it is about, for people: "production/till"
	Payload json.RawMessage // what the steps are built from
}

// Result is how a step went.
type Result struct {
	Name    string        `json:"name"`
	Started time.Time     `json:"started"`
	Elapsed time.Duration `json:"elapsed"`
	Undone  bool          `json:"undone,omitempty"`
	Error   string        `json:"error,omitempty"`
}

// Status of a run.
type Status string

const (
	Running Status = "running"
	Done    Status = "done"
	Undone  Status = "undone"   // failed or interrupted, and taken back
	Stuck   Status = "stuck"    // can neither be finished nor undone now; Resume tries again
	GivenUp Status = "given-up" // was stuck, and somebody decided to leave it so; see GiveUp
)

// Outcome is how a run ended.
type Outcome struct {
	Status Status   `json:"status"`
	Steps  []Result `json:"steps"`
	Failed string   `json:"failed,omitempty"` // name of the step that failed first
	Cause  error    `json:"-"`
}
