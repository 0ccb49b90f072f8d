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
	undoPatience  = 2 * time.Second  // for what undoing can do without
	openBudget    = 2 * time.Second  // of one attempt to open the side that the truth goes to
	hungLease     = 8 * time.Second  // how long clients wait for an engine that hangs while the truth is given away to be replaced
	decidedLease  = 30 * time.Second // how long clients wait for an engine that died when the truth was given away
	openLease     = time.Second      // and for one that died when the other side was open
	renewPatience = time.Second      // for the gateway to renew a hold
)

// margin is how much earlier than the write pause its fence ends: what is left is
// for letting clients go.
func (p Plan) margin() time.Duration {
	return min(max(p.MaxPause/5, 20*time.Millisecond), time.Second)
}
