package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"godwit/internal/store"
)

// Book is where a journal writes; package store has one.
type Book interface {
	AddRun(ctx context.Context, r store.Run) error
	// SaveRun writes a run and those of its steps at the given positions, all or nothing.
	SaveRun(ctx context.Context, r store.Run, steps ...int) error
	Run(ctx context.Context, id string) (store.Run, error)
	Runs(ctx context.Context, statuses ...string) ([]store.Run, error)
}

// Limits bound what a journal tries before it gives up.
type Limits struct {
	// Undo bounds taking back one step, all attempts together.
	Undo time.Duration
	// Finish bounds how long a step after the point of no return is tried
	// again; an attempt under way is not cut short by it.
	Finish time.Duration
	// Grace is how long a list after its point of no return goes on when the
	// context of its run has ended.
	Grace time.Duration
	// Pause is the first pause between two attempts; the following grow up to
	// LongestPause.
	Pause, LongestPause time.Duration
}

// Journal runs lists of steps. Its methods may be called from many goroutines,
// but only one may run a run at a time.
type Journal struct {
	Limits Limits // may be changed before the first run

	book   Book
	active *active
}

// active are the runs that are under way.
type active struct {
	mu  sync.Mutex
	ids map[string]bool
}

// Open returns the journal that is written into book.
func Open(book Book) *Journal {
	return &Journal{book: book, active: &active{ids: map[string]bool{}}, Limits: Limits{
		Undo: 30 * time.Second, Finish: 2 * time.Minute, Grace: 30 * time.Second,
		Pause: 20 * time.Millisecond, LongestPause: 2 * time.Second,
	}}
}

// Within is the same journal with other limits.
func (j *Journal) Within(l Limits) *Journal {
	return &Journal{Limits: l, book: j.book, active: j.active}
}

// Run does the steps in their order. It returns when all are done, or all that
// had begun are undone, or, as Stuck, when neither could be reached; the error
// is nil only when all are done, and else a *Failure, unless nothing was begun.
//
// Before the point of no return a failed step, a budget exceeded or the end of
// ctx undoes the list; undoing does not heed ctx. After it, failed steps are
// tried again, and the end of ctx leaves Limits.Grace to finish.
//
// observe, which may be nil, is called between the steps and in their
// goroutine: it must return at once, for a cutover waits for it too.
func (j *Journal) Run(ctx context.Context, run Run, steps []Step, observe func(Event)) (Outcome, error) {
	if err := check(run, steps); err != nil {
		return Outcome{}, err
	}
	if err := j.claim(run.ID); err != nil {
		return Outcome{}, err
	}
	defer j.yield(run.ID)
	x := j.execution(fresh(run, steps), steps, observe)
	x.begin(0)
	if err := j.book.AddRun(context.WithoutCancel(ctx), x.run); err != nil {
		return Outcome{}, fmt.Errorf("nothing was begun: %w", err)
	}
	x.dirty = nil
	return x.forward(ctx, 0)
}

// Resume brings a run to its end that was interrupted, or got stuck: forward
// when its point of no return had begun, otherwise back. The steps must be
// those it was begun with (ErrDifferent). Of a run that has ended it returns
// the outcome again.
func (j *Journal) Resume(ctx context.Context, run Run, steps []Step, observe func(Event)) (Outcome, error) {
	if err := check(run, steps); err != nil {
		return Outcome{}, err
	}
	if err := j.claim(run.ID); err != nil {
		return Outcome{}, err
	}
	defer j.yield(run.ID)
	kept, err := j.book.Run(ctx, run.ID)
	if err != nil {
		return Outcome{}, err
	}
	if err := same(kept, steps); err != nil {
		return Outcome{}, err
	}
	return j.execution(kept, steps, observe).resume(ctx)
}

// GiveUp ends a run that can neither be finished nor undone: nothing of it is done
// any more, nor taken back. What it leaves behind is the caller's. ErrActive while
// it runs; a run that has ended stays as it ended.
func (j *Journal) GiveUp(ctx context.Context, id, why string) (Outcome, error) {
	if err := j.claim(id); err != nil {
		return Outcome{}, err
	}
	defer j.yield(id)
	kept, err := j.book.Run(ctx, id)
	if err != nil {
		return Outcome{}, err
	}
	if Status(kept.Status) == Running || Status(kept.Status) == Stuck {
		if kept.Cause != "" {
			why += "; it was stuck: " + kept.Cause
		}
		kept.Status, kept.Cause, kept.Ended = string(GivenUp), why, time.Now()
		if err := j.book.SaveRun(context.WithoutCancel(ctx), kept); err != nil {
			return Outcome{}, err
		}
	}
	return outcome(kept, nil), nil
}

// Unfinished returns the runs to Resume, oldest first; runs under way are among them.
func (j *Journal) Unfinished(ctx context.Context) ([]Run, error) {
	kept, err := j.book.Runs(ctx, string(Running), string(Stuck))
	if err != nil {
		return nil, err
	}
	runs := make([]Run, len(kept))
	for i, r := range kept {
		runs[i] = identity(r)
	}
	return runs, nil
}

// Record is a run and how it stands or ended.
type Record struct {
	Run     Run
	Outcome Outcome
	Notes   map[string]string
	Started time.Time
	Ended   time.Time // zero while it has not ended
}

// Record returns what is written about a run. store.ErrNotFound when there is none.
func (j *Journal) Record(ctx context.Context, id string) (Record, error) {
	kept, err := j.book.Run(ctx, id)
	if err != nil {
		return Record{}, err
	}
	return Record{Run: identity(kept), Outcome: outcome(kept, nil), Notes: kept.Notes,
		Started: kept.Started, Ended: kept.Ended}, nil
}

func (j *Journal) claim(id string) error {
	j.active.mu.Lock()
	defer j.active.mu.Unlock()
	if j.active.ids[id] {
		return fmt.Errorf("%w: %s", ErrActive, id)
	}
	j.active.ids[id] = true
	return nil
}

func (j *Journal) yield(id string) {
	j.active.mu.Lock()
	defer j.active.mu.Unlock()
	delete(j.active.ids, id)
}

func (j *Journal) execution(run store.Run, steps []Step, observe func(Event)) *execution {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.Name
	}
	return &execution{book: j.book, limits: j.Limits, run: run, steps: steps,
		notes: &Notes{values: run.Notes}, observer: observer{run.ID, names, observe}}
}

// check refuses what could not be resumed.
func check(run Run, steps []Step) error {
	if run.ID == "" || len(steps) == 0 {
		return fmt.Errorf("%w: a run needs an id and at least one step", ErrInvalid)
	}
	seen := map[string]bool{}
	for i, s := range steps {
		switch {
		case s.Name == "" || seen[s.Name]:
			return fmt.Errorf("%w: step %d needs a name of its own, has %q", ErrInvalid, i+1, s.Name)
		case s.Do == nil:
			return fmt.Errorf("%w: step %q does nothing", ErrInvalid, s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

// same compares the steps of a list with those written down.
func same(kept store.Run, steps []Step) error {
	if len(kept.Steps) != len(steps) {
		return fmt.Errorf("%w: run %s has %d steps, now there are %d", ErrDifferent, kept.ID, len(kept.Steps), len(steps))
	}
	for i, s := range steps {
		if k := kept.Steps[i]; k.Name != s.Name || k.PointOfNoReturn != s.PointOfNoReturn {
			return fmt.Errorf("%w: run %s has %q as step %d (point of no return: %v), now it is %q (%v)",
				ErrDifferent, kept.ID, k.Name, i+1, k.PointOfNoReturn, s.Name, s.PointOfNoReturn)
		}
	}
	return nil
}

func fresh(run Run, steps []Step) store.Run {
	r := store.Run{ID: run.ID, Kind: run.Kind, Subject: run.Subject, Payload: run.Payload,
		Status: string(Running), Started: time.Now()}
	for _, s := range steps {
		r.Steps = append(r.Steps, store.Step{Name: s.Name, PointOfNoReturn: s.PointOfNoReturn, Phase: pending})
	}
	return r
}

func identity(r store.Run) Run {
	return Run{ID: r.ID, Kind: r.Kind, Subject: r.Subject, Payload: json.RawMessage(r.Payload)}
}

// outcome tells how a run stands; cause replaces the written one when it is known.
func outcome(r store.Run, cause error) Outcome {
	o := Outcome{Status: Status(r.Status), Failed: r.Failed, Cause: cause}
	if cause == nil && r.Cause != "" {
		o.Cause = written(r.Cause)
	}
	for _, s := range r.Steps {
		if s.Phase != pending {
			o.Steps = append(o.Steps, Result{Name: s.Name, Started: s.Started, Elapsed: s.Elapsed,
				Undone: s.Phase == undone, Error: s.Error})
		}
	}
	return o
}

// ended is what Run and Resume return.
func ended(r store.Run, cause error) (Outcome, error) {
	o := outcome(r, cause)
	if o.Status == Done {
		return o, nil
	}
	f := &Failure{Run: identity(r), Step: r.Failed, Status: o.Status, Cause: o.Cause}
	for _, s := range r.Steps {
		if o.Status == Undone && (s.Phase == begun || s.Phase == done) {
			f.Kept = s.Name
		}
	}
	return o, f
}
