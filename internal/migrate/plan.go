package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Plan is what a list of steps is built from, also by a restarted engine: the
// payload of its run in the journal. It holds no secrets.
type Plan struct {
	Migration   string        `json:"migration"`
	Environment string        `json:"environment"`
	Databases   []string      `json:"databases"`
	From        Side          `json:"from"` // who holds the truth before the switch
	MaxPause    time.Duration `json:"max_pause"`
}

// Kinds of runs in the journal.
const (
	KindSync     = "migrate-sync"
	KindCutover  = "cutover"
	KindRollback = "migrate-rollback"
)

// Kind of the run that switches as this plan says.
func (p Plan) Kind() string {
	if p.From == Target {
		return KindRollback
	}
	return KindCutover
}

// Payload is the plan for the journal.
func (p Plan) Payload() json.RawMessage {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return text
}

// ParsePlan reads a Payload.
func ParsePlan(payload json.RawMessage) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(payload, &p); err != nil {
		return p, fmt.Errorf("plan of a migration: %w", err)
	}
	if p.From != Source && p.From != Target || p.MaxPause <= 0 {
		return p, fmt.Errorf("plan of migration %q: want a side and a pause above 0, have %q and %v", p.Migration, p.From, p.MaxPause)
	}
	return p, nil
}

// ErrPause: the write pause lasted as long as it may.
var ErrPause = errors.New("write pause used up")

// Budgets outside the write pause.
const (
	prepareBudget = 30 * time.Second // nothing is held meanwhile
	afterBudget   = 60 * time.Second // proving and reversing; clients write already
	undoPatience  = 2 * time.Second  // for a side that undoing can do without
)

// lease is how long a hold may last by itself: the whole pause, and time to
// take it back.
func (p Plan) lease() time.Duration {
	return p.MaxPause + max(p.MaxPause/2, 500*time.Millisecond)
}
