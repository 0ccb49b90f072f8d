package tofu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ApplyOptions of an apply.
type ApplyOptions struct {
	// Hurry: after the context ended, and the program was asked to stop, each
	// receive asks it harder: to stop without waiting for AWS, then to end.
	Hurry <-chan struct{}
	// Parallel changes at a time; 10 when 0.
	Parallel int
}

// Result is what an apply did.
type Result struct {
	Root    string        `json:"root"`
	Outcome Outcome       `json:"outcome"`
	Elapsed time.Duration `json:"elapsed"`
}

// Apply does what a saved plan says. When the context ends, the program is asked
// to stop: it finishes what AWS is at, saves the state and gives back its lock;
// Apply waits for that. A *Failure says what was done and what was not.
func (d *Driver) Apply(ctx context.Context, s Saved, o ApplyOptions) (Result, error) {
	result := Result{Root: s.Root.Name}
	err := d.alone(s.Root, func() error {
		if _, err := d.settle(s.Root); err != nil {
			return err
		}
		if err := errors.Join(d.Endpoint.Check(), d.fresh(s)); err != nil {
			return err
		}
		begun := d.now()
		run, err := d.start(s, o)
		if err != nil {
			return err
		}
		result.Outcome, err = d.follow(ctx, run, o.Hurry)
		result.Elapsed = d.now().Sub(begun)
		return d.after(context.WithoutCancel(ctx), s, err)
	})
	return result, err
}

// after an apply the plan is used up, unless nothing was begun; and the
// account's state moves into the bucket that it has just made.
func (d *Driver) after(ctx context.Context, s Saved, failed error) error {
	var f *Failure
	untouched := errors.As(failed, &f) && f.Outcome != nil && len(f.Outcome.Done)+len(f.Outcome.Half) == 0
	if !untouched || errors.Is(failed, ErrStale) {
		for _, name := range []string{s.Path, s.Path + ".json"} {
			if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) && failed == nil {
				failed = err
			}
		}
	}
	if failed != nil || s.Place != localPlace {
		return failed
	}
	there, err := d.State.exists(ctx)
	if err == nil && there {
		_, err = d.prepare(ctx, s.Root)
	}
	if err != nil {
		return fmt.Errorf("all changes are made, and the state is in %s; moving it into its bucket failed, the next plan tries again: %w", s.Root.file(localState), err)
	}
	return nil
}

// settle looks at what an earlier apply left behind: one that still runs, or a
// state that could not be saved, are errors; one that was cut off is returned.
func (d *Driver) settle(r Root) (past *run, err error) {
	past, err = loadRun(r)
	if err != nil {
		return nil, err
	}
	if past != nil && past.alive() {
		return nil, &RunningError{Root: r.Name, PID: past.PID, Since: past.Since}
	}
	if r.has(erroredState) {
		return nil, Problem{Kind: ErrUnsaved, Summary: "an earlier apply could not save the state of " + r.Name, File: r.file(erroredState), Line: 1,
			Detail: "without it what was made then would be made again",
			Mend:   fmt.Sprintf("push it: `godwit aws apply %s --push`", r.flag())}
	}
	return past, nil
}
