package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/lockfile"
)

// Moment is what an Event tells of.
type Moment string

const (
	Begun    Moment = "begun"
	Attached Moment = "attached" // to what was under way
	Line     Moment = "line"     // of output
	Asked    Moment = "asked"
	Ended    Moment = "ended"
)

// Event is progress, for people who wait.
type Event struct {
	Unit   Unit
	Moment Moment
	Text   string
	Result Result // when it ended
}

// Watch is called from several goroutines.
type Watch func(Event)

// Drive is how a run is driven.
type Drive struct {
	Watch   Watch
	Ask     func(ctx context.Context, question string) (approved, answered bool) // nil: nobody is here
	By      Person                                                               // who is
	Digest  func() (string, error)                                               // of the landscape's files as they are now; nil: as they were
	Approve bool                                                                 // every approval is given beforehand
	Wait    bool                                                                 // for approvals from elsewhere, though nobody is here
}

// Drive runs all stages that are not done. What it returns is *Failure, *Waiting,
// ErrBusy, or *Interruption when ctx ended.
func (r *Run) Drive(ctx context.Context, d Drive) error {
	release, err := r.claim(ctx, lockfile.Alone)
	if err != nil {
		return r.early(ctx, err)
	}
	defer release()
	for i := range r.Pipeline.Stages {
		if err := r.stage(ctx, i, units(r.Pipeline, i), d); err != nil {
			return err
		}
	}
	return nil
}

// Stage runs one stage, or one service's share of it. Approval, when not nil, is
// the answer that a person gave elsewhere.
func (r *Run) Stage(ctx context.Context, name, service string, approval *Decision, d Drive) error {
	i := slices.IndexFunc(r.Pipeline.Stages, func(s landscape.Stage) bool { return s.Name == name })
	if i < 0 {
		return fmt.Errorf("%w: pipeline %q has no stage %q", ErrUsage, r.Pipeline.Name, name)
	}
	all := units(r.Pipeline, i)
	if service != "" {
		all = slices.DeleteFunc(all, func(u Unit) bool { return u.Service != service })
	}
	if len(all) == 0 {
		return fmt.Errorf("%w: stage %q does nothing for a service %q", ErrUsage, name, service)
	}
	for before := range i {
		done, err := r.stageDone(before)
		if err != nil {
			return err
		}
		if !done {
			return fmt.Errorf("%w: stage %q comes after %q, which run %s has not done here, on %s", ErrUsage, name, r.Pipeline.Stages[before].Name, r.ID, r.Machine)
		}
	}
	release, err := r.claim(ctx, lockfile.Shared)
	if err != nil {
		return r.early(ctx, err)
	}
	defer release()
	if approval != nil && r.Pipeline.Stages[i].Approve != "" {
		if err := r.answer(ctx, all[0], *approval, d); err != nil {
			return err
		}
	}
	return r.stage(ctx, i, all, d)
}

// stageDone says that a stage needs nothing more. One that this site skips never does.
func (r *Run) stageDone(i int) (bool, error) {
	if place, err := siteOf(r.Site); err != nil || r.Pipeline.Stages[i].Bake && !place.bakes {
		return err == nil, err
	}
	for _, u := range units(r.Pipeline, i) {
		if res, err := r.result(u); err != nil || !res.finished() {
			return false, err
		}
	}
	return true, nil
}

// stage does units side by side. One that fails does not end the others: a
// rollout is not to be cut short for another's sake.
func (r *Run) stage(ctx context.Context, i int, all []Unit, d Drive) error {
	s := r.Pipeline.Stages[i]
	if err := ctx.Err(); err != nil {
		return r.interrupted(s.Name, err)
	}
	if err := r.overtaken(i); err != nil {
		return err
	}
	if err := r.approved(ctx, i, d); err != nil {
		return err
	}
	if d.Watch == nil {
		d.Watch = func(Event) {}
	}
	results, errs := make([]Result, len(all)), make([]error, len(all))
	var working sync.WaitGroup
	for n, u := range all {
		working.Go(func() {
			if s.Approve != "" {
				results[n], errs[n] = r.approval(ctx, u, s, d)
			} else {
				results[n], errs[n] = r.attach(ctx, u, d.Watch)
			}
			if errs[n] == nil {
				d.Watch(Event{Unit: u, Moment: Ended, Result: results[n]})
			}
		})
	}
	working.Wait()
	if ctx.Err() != nil {
		return r.interrupted(s.Name, ctx.Err())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return r.verdict(s.Name, results)
}

// early is the error of a run that did not come to its first stage.
func (r *Run) early(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &Interruption{Run: r.ID, cause: ctx.Err()}
}

func (r *Run) interrupted(stage string, err error) error {
	return &Interruption{Run: r.ID, Stage: stage, cause: err}
}

// verdict is nil when all went well.
func (r *Run) verdict(stage string, results []Result) error {
	f := &Failure{Run: r.ID, Stage: stage, Refused: true}
	for _, res := range results {
		if !res.finished() {
			f.Units = append(f.Units, res)
			f.Refused = f.Refused && res.Status == Refused
		}
	}
	if len(f.Units) == 0 {
		return nil
	}
	return f
}

// overtaken refuses to deploy over what a later run has deployed.
func (r *Run) overtaken(i int) error {
	s := r.Pipeline.Stages[i]
	if s.Deploy == "" {
		return nil
	}
	if done, err := r.stageDone(i); err != nil || done {
		return err
	}
	others, err := r.siblings()
	for _, o := range others {
		if err != nil {
			return err
		}
		if !o.Started.After(r.Started) {
			continue
		}
		if by, err := o.deployedTo(s.Deploy); err != nil || by {
			return errors.Join(err, &Failure{Run: r.ID, Stage: s.Name, Refused: true, Units: []Result{{Unit: Unit{Stage: i, Title: s.Name},
				Status: Refused, Reason: fmt.Sprintf("run %s, begun later (%s), has deployed to %s already: this run's images are older",
					o.ID, o.Started.Format(time.DateTime), s.Deploy)}}})
		}
	}
	return err
}

// deployedTo says that a run has begun to deploy into an environment.
func (r *Run) deployedTo(environment string) (bool, error) {
	for i, s := range r.Pipeline.Stages {
		if s.Deploy != environment {
			continue
		}
		for _, u := range units(r.Pipeline, i) {
			if a, err := r.lastAttempt(u); err != nil || a.Number > 0 {
				return err == nil, err
			}
		}
	}
	return false, nil
}

// Same refuses a landscape that is not the one the run was begun with.
func (r *Run) Same(digest string) error {
	if digest == r.Digest {
		return nil
	}
	return fmt.Errorf("%w: the landscape in %s has changed since run %s began: begin a new one", ErrUsage, r.Dir, r.ID)
}

// Units are those of a stage and a service; "" is any.
func (r *Run) Units(stage, service string) ([]Unit, error) {
	var all []Unit
	var names []string
	for i, s := range r.Pipeline.Stages {
		names = append(names, s.Name)
		for _, u := range units(r.Pipeline, i) {
			if (stage == "" || s.Name == stage) && (service == "" || u.Service == service) {
				all = append(all, u)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: run %s has nothing of stage %q and service %q; its stages are %s", ErrNotFound, r.ID, stage, service, strings.Join(names, ", "))
	}
	return all, nil
}
