package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"godwit/internal/journal"
	"godwit/internal/migrate/postgres"
)

// KindApply is of the runs that make a change of definitions on both sides.
const KindApply = "migrate-apply"

// Apply is a change of definitions for one database of a migration: the payload of
// its run in the journal.
type Apply struct {
	Migration   string `json:"migration"`
	Environment string `json:"environment"`
	Database    string `json:"database"`
	Truth       Side   `json:"truth"`
	CatchUp     bool   `json:"catch_up"` // the truth has it already
	SQL         string `json:"sql"`
}

// Payload is the change for the journal.
func (a Apply) Payload() json.RawMessage {
	text, err := json.Marshal(a)
	if err != nil {
		panic(err) // strings only
	}
	return text
}

// ParseApply reads a Payload.
func ParseApply(payload json.RawMessage) (Apply, error) {
	var a Apply
	if err := json.Unmarshal(payload, &a); err != nil {
		return a, fmt.Errorf("change of a migration: %w", err)
	}
	return a, nil
}

const (
	rehearseBudget = 5 * time.Minute  // one index may be made in it
	placeBudget    = 10 * time.Minute // rows of before have to arrive first
)

// Notes of a change.
const (
	noteRehearsal = "rehearsal"
	noteSaid      = "said"    // names of what is changed
	noteRefused   = "refused" // why it was made on no side
	noteHalf      = "half"    // why it was made on the truth only
)

// applying are the steps of one change.
type applying struct {
	change postgres.Change
	writer *postgres.Writer
}

// ApplySteps is the order in which both sides get a change. It is tried where nobody
// writes, then made where the truth is; from then on it can only go on. The stream
// stops at it until the other side has it too.
func ApplySteps(a Apply, run string, w *postgres.Writer) []journal.Step {
	s := applying{postgres.Change{ID: run, SQL: a.SQL, Truth: string(a.Truth), CatchUp: a.CatchUp}, w}
	return []journal.Step{
		{Name: "rehearse", Do: s.rehearse, Undo: s.unrehearse, Budget: rehearseBudget}, // on the side that follows; taken back
		{Name: "truth", Do: s.truth, PointOfNoReturn: true},                            // the same on the side that holds the truth
		{Name: "other", Do: s.other, Budget: placeBudget},                              // and on the other, between the rows of before and after
		{Name: "follow", Do: s.follow},                                                 // new tables move like the others
		{Name: "remember", Do: s.remember},                                             // these are the definitions that belong together
	}
}

func (s applying) rehearse(ctx context.Context, notes *journal.Notes) error {
	r, err := s.writer.Rehearse(ctx, s.change)
	if err != nil {
		return err
	}
	if err := keep(notes, noteRehearsal, r); err != nil {
		return err
	}
	said, err := s.writer.Said(ctx, s.change, r)
	if err != nil {
		return err
	}
	return keep(notes, noteSaid, said)
}

func (s applying) unrehearse(ctx context.Context, _ *journal.Notes) error {
	return s.writer.Unrehearse(ctx, s.change)
}

func (s applying) truth(ctx context.Context, notes *journal.Notes) error {
	return s.unlessRefused(notes, noteRefused, func(r postgres.Rehearsal) error { return s.writer.ChangeTruth(ctx, s.change, r) })
}

func (s applying) other(ctx context.Context, notes *journal.Notes) error {
	return s.unlessRefused(notes, noteHalf, func(r postgres.Rehearsal) error { return s.writer.ChangeOther(ctx, s.change, r) })
}

func (s applying) follow(ctx context.Context, notes *journal.Notes) error {
	return s.unlessRefused(notes, noteHalf, func(postgres.Rehearsal) error { return s.writer.Follow(ctx, s.change.Truth) })
}

func (s applying) remember(ctx context.Context, notes *journal.Notes) error {
	return s.unlessRefused(notes, noteHalf, func(r postgres.Rehearsal) error { return s.writer.Remember(ctx, s.change, r) })
}

// unlessRefused does nothing after a refusal, and notes one: it is an outcome, which
// trying again does not change.
func (s applying) unlessRefused(notes *journal.Notes, note string, do func(postgres.Rehearsal) error) error {
	if notes.Get(noteRefused) != "" || notes.Get(noteHalf) != "" {
		return nil
	}
	var r postgres.Rehearsal
	if err := json.Unmarshal([]byte(notes.Get(noteRehearsal)), &r); err != nil {
		return fmt.Errorf("rehearsal that was noted: %w", err)
	}
	err := do(r)
	if errors.Is(err, postgres.ErrRefused) {
		notes.Set(note, err.Error())
		return nil
	}
	return err
}

func keep(notes *journal.Notes, name string, value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		notes.Set(name, string(text))
	}
	return err
}

// Applied is how a change came out.
type Applied struct {
	Changes []string // what it does
	Refused string   // why it was made on no side
	Half    string   // why it was made on the truth only
}

// NewApplied reads how a change came out from what the journal keeps of it.
func NewApplied(note func(name string) string) Applied {
	a := Applied{Refused: note(noteRefused), Half: note(noteHalf)}
	if err := json.Unmarshal([]byte(note(noteSaid)), &a.Changes); err != nil {
		a.Changes = nil
	}
	return a
}
