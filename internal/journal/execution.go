package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/store"
)

// Phases of a step, as written down.
const (
	pending = "pending"
	begun   = "begun"
	done    = "done"
	undone  = "undone"
)

// execution is one run while it runs. Its run is always how things stand; what
// of it is not yet written is in dirty, so that a write that failed is made
// good by the next one.
type execution struct {
	book     Book
	limits   Limits
	run      store.Run
	steps    []Step
	notes    *Notes
	observer observer
	dirty    []int // positions of steps that differ from what is written
}

// committed says that the point of no return has begun.
func (x *execution) committed() bool {
	return slices.ContainsFunc(x.run.Steps, func(s store.Step) bool {
		return s.PointOfNoReturn && s.Phase != pending
	})
}

// resume goes on from what is written down.
func (x *execution) resume(ctx context.Context) (Outcome, error) {
	switch Status(x.run.Status) {
	case Done, Undone, GivenUp:
		return ended(x.run, nil)
	}
	if !x.committed() {
		return x.back(ctx, x.interruption())
	}
	from := slices.IndexFunc(x.run.Steps, func(s store.Step) bool { return s.Phase != done })
	if from < 0 { // the last write of all was lost
		return x.settle(ctx, Done, nil)
	}
	x.begin(from)
	x.run.Status = string(Running)
	if err := x.write(ctx); err != nil {
		x.run.Status, x.run.Failed = string(Stuck), x.steps[from].Name
		return ended(x.run, err)
	}
	return x.forward(ctx, from)
}

// interruption is why a run that is found in the journal has to be undone.
func (x *execution) interruption() error {
	if x.run.Failed != "" {
		return written(x.run.Cause)
	}
	for i, s := range x.run.Steps {
		if s.Phase != pending {
			x.run.Failed = x.run.Steps[i].Name
		}
	}
	return ErrInterrupted
}

// forward does the steps from one that is written down as begun.
func (x *execution) forward(ctx context.Context, from int) (Outcome, error) {
	late, cancel := linger(ctx, x.limits.Grace)
	defer cancel()
	for i := from; i < len(x.steps); i++ {
		if err := x.do(ctx, late, i); err != nil {
			return x.fail(ctx, i, err)
		}
		if i+1 == len(x.steps) {
			break
		}
		if err := x.advance(ctx, i); err != nil {
			return x.fail(ctx, i+1, err)
		}
	}
	return x.settle(ctx, Done, nil)
}

// do runs Do of a step that is written down as begun and notes how it went.
// Once committed it does so under late instead of ctx, and tries again.
func (x *execution) do(ctx, late context.Context, i int) error {
	x.observer.tell(i, StepBegun, 0, nil)
	started := time.Now()
	var err error
	if x.committed() {
		err = x.insist(late, x.limits.Finish, func(ctx context.Context) error { return x.attempt(ctx, i) },
			func(err error) { x.observer.tell(i, StepFailed, time.Since(started), err) })
	} else {
		err = x.attempt(ctx, i)
	}
	s := &x.run.Steps[i]
	s.Started, s.Elapsed, s.Error = started, time.Since(started), ""
	x.touch(i)
	if err != nil {
		s.Error = err.Error()
		x.observer.tell(i, StepFailed, s.Elapsed, err)
		return err
	}
	s.Phase = done
	x.observer.tell(i, StepDone, s.Elapsed, nil)
	return nil
}

// attempt calls Do once, within the budget of its step.
func (x *execution) attempt(ctx context.Context, i int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	step := x.steps[i]
	if step.Budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, step.Budget, ErrOverBudget)
		defer cancel()
	}
	err := guard(ctx, step.Do, x.notes)
	// A step that came too late has failed even when it came; but once the list
	// can only be finished, done is done.
	if context.Cause(ctx) == ErrOverBudget && (err != nil || !x.committed()) {
		return fmt.Errorf("%w of %v: %w", ErrOverBudget, step.Budget, orTooLate(err))
	}
	return err
}

func orTooLate(err error) error {
	if err == nil {
		return errors.New("it succeeded too late")
	}
	return err
}

// advance writes, as one, that step i is done and that the next has begun.
func (x *execution) advance(ctx context.Context, i int) error {
	if x.committed() {
		x.begin(i + 1)
		// The list can only go on, and each Do may be repeated: a journal that
		// cannot be written now must not keep clients waiting. The next write
		// makes up for it.
		if err := x.write(ctx); errors.Is(err, ErrTaken) {
			return err
		}
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	before := x.run.Steps[i+1]
	x.begin(i + 1)
	if err := x.write(ctx); err != nil {
		x.run.Steps[i+1] = before
		return fmt.Errorf("it was not begun, for the journal could not be written: %w", err)
	}
	return nil
}

// fail decides what follows from a failed step.
func (x *execution) fail(ctx context.Context, i int, cause error) (Outcome, error) {
	x.run.Failed = x.steps[i].Name
	if taken(ctx, cause) {
		return x.abandon(cause)
	}
	if !x.committed() {
		return x.back(ctx, cause)
	}
	x.run.Cause = cause.Error()
	return x.settle(ctx, Stuck, cause)
}

// back undoes what has begun, the last first.
func (x *execution) back(ctx context.Context, cause error) (Outcome, error) {
	x.run.Status, x.run.Cause = string(Running), cause.Error()
	for i := len(x.steps) - 1; i >= 0; i-- {
		s := &x.run.Steps[i]
		if s.Phase != begun && s.Phase != done || x.steps[i].Keeps {
			continue
		}
		if x.steps[i].Undo != nil {
			// What cannot be written now is written by the next write; undoing
			// again after a crash does no harm, waiting here might.
			if err := x.write(ctx); taken(ctx, err) {
				return x.abandon(errors.Join(cause, err))
			}
			if err := x.undo(ctx, i); err != nil {
				if taken(ctx, err) {
					return x.abandon(errors.Join(cause, err))
				}
				s.Error = "taking it back: " + err.Error()
				x.touch(i)
				return x.settle(ctx, Stuck, fmt.Errorf("%w; then step %q could not be taken back: %w", cause, s.Name, err))
			}
		}
		s.Phase = undone
		x.touch(i)
	}
	return x.settle(ctx, Undone, cause)
}

// taken: another works on the run.
func taken(ctx context.Context, err error) bool {
	return errors.Is(err, ErrTaken) || errors.Is(context.Cause(ctx), ErrTaken)
}

// abandon leaves a run to whoever has taken it.
func (x *execution) abandon(cause error) (Outcome, error) {
	if !errors.Is(cause, ErrTaken) {
		cause = fmt.Errorf("%w: %w", ErrTaken, cause)
	}
	x.run.Status, x.run.Cause, x.run.Ended = string(Stuck), cause.Error(), time.Time{}
	return ended(x.run, cause)
}

// undo takes one step back, whether ctx has ended or not, unless it was taken.
func (x *execution) undo(ctx context.Context, i int) error {
	x.observer.tell(i, StepUndoing, 0, nil)
	started := time.Now()
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.limits.Undo)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if taken(ctx, nil) {
			cancel()
		}
	})
	defer stop()
	err := x.insist(within, x.limits.Undo, func(ctx context.Context) error { return guard(ctx, x.steps[i].Undo, x.notes) }, nil)
	if err != nil {
		return err
	}
	x.observer.tell(i, StepUndone, time.Since(started), nil)
	return nil
}

// settle writes how the run has ended. A run whose end cannot be written is
// stuck: Resume will find it, and what it repeats does no harm.
func (x *execution) settle(ctx context.Context, status Status, cause error) (Outcome, error) {
	x.run.Status, x.run.Ended = string(status), time.Now()
	switch status {
	case Done:
		x.run.Failed, x.run.Cause = "", ""
	case Stuck:
		x.run.Ended = time.Time{}
	}
	write := func(ctx context.Context) error { return x.write(ctx) }
	if err := x.insist(context.WithoutCancel(ctx), x.limits.Undo, write, nil); err != nil {
		cause = errors.Join(cause, fmt.Errorf("the journal could not be written: %w", err))
		x.run.Status, x.run.Cause, x.run.Ended = string(Stuck), cause.Error(), time.Time{}
		if x.run.Failed == "" {
			x.run.Failed = x.steps[len(x.steps)-1].Name
		}
	}
	return ended(x.run, cause)
}

// insist tries until f succeeds, ctx ends or trying has taken limit. The error
// is the last one of f.
func (x *execution) insist(ctx context.Context, limit time.Duration, f func(context.Context) error, again func(error)) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = x.limits.Pause, x.limits.LongestPause
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if last = f(ctx); errors.Is(last, ErrTaken) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(limit), backoff.WithNotify(func(err error, _ time.Duration) {
		if again != nil {
			again(err)
		}
	}))
	if err != nil && !errors.Is(err, last) && !errors.Is(last, err) {
		err = fmt.Errorf("%w (then: %w)", last, err)
	}
	return err
}

func (x *execution) begin(i int) {
	x.run.Steps[i].Phase, x.run.Steps[i].Started = begun, time.Now()
	x.touch(i)
}

func (x *execution) touch(i int) {
	if !slices.Contains(x.dirty, i) {
		x.dirty = append(x.dirty, i)
	}
}

// write writes how things stand. It does not heed the end of ctx: that must not
// keep the journal from the truth.
func (x *execution) write(ctx context.Context) error {
	x.run.Notes = x.notes.all()
	if err := x.book.SaveRun(context.WithoutCancel(ctx), x.run, x.dirty...); err != nil {
		return err
	}
	x.dirty = nil
	return nil
}

// guard turns a panic of a step into an error: a step must not end the engine.
func guard(ctx context.Context, f func(context.Context, *Notes) error, notes *Notes) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicked{r, debug.Stack()}
		}
	}()
	return f(ctx, notes)
}
