package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/rollout"
)

const (
	// settleLimit bounds what a command waits for what others have left: what
	// cannot be settled by then is refused, and tried on in the background.
	settleLimit = 10 * time.Second
	// settleEvery is the pause between two tries in the background.
	settleEvery = 5 * time.Second
)

// briefLimits are those of a try that somebody waits for, or that is repeated.
var briefLimits = journal.Limits{Undo: settleLimit, Finish: settleLimit, Grace: 2 * time.Second,
	Pause: 20 * time.Millisecond, LongestPause: time.Second}

// settle finishes or undoes every run that the journal has begun and not ended.
func (e *Engine) settle(ctx context.Context, w *world, sink api.Sink) error {
	return e.settleRuns(ctx, w, e.journal, nil, sink)
}

// settleFor settles what concerns some environments, before anything else is begun
// in them; no environments are all. It does not wait for long.
func (e *Engine) settleFor(ctx context.Context, w *world, environments []string, sink api.Sink) error {
	limit, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := e.settleRuns(limit, w, e.journal.Within(e.brief), environments, sink); err != nil {
		return err
	}
	e.tidy(limit, w, environments)
	return nil
}

func (e *Engine) settleRuns(ctx context.Context, w *world, j *journal.Journal, environments []string, sink api.Sink) error {
	runs, err := e.journal.Unfinished(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, run := range runs {
		if concerns(run, environments) {
			errs = append(errs, e.settleRun(ctx, w, j, run, sink))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("what was begun earlier can be neither finished nor undone yet, and nothing else is begun there before: %w; mend that: the engine tries on by itself", err)
	}
	return nil
}

func (e *Engine) settleRun(ctx context.Context, w *world, j *journal.Journal, run journal.Run, sink api.Sink) error {
	e.log.Warn("settling what was under way", "run", run.ID, "kind", run.Kind, "subject", run.Subject)
	err := e.resume(ctx, w, j, run, sink)
	var failure *journal.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failure): // which says of what
		return fmt.Errorf("%w%s", err, wayOut(run))
	}
	return fmt.Errorf("%s of %s: %w%s", run.Kind, run.Subject, err, wayOut(run))
}

// concerns: a run is about one of these environments, or about all; no environments
// are all.
func concerns(run journal.Run, environments []string) bool {
	about := environmentOf(run)
	return about == "" || len(environments) == 0 || slices.Contains(environments, about)
}

// environmentOf a run; "" where it names none.
func environmentOf(run journal.Run) string {
	var about struct {
		Environment string `json:"environment"`
	}
	if json.Unmarshal(run.Payload, &about) != nil {
		return ""
	}
	return about.Environment
}

// wayOut is what ends a run that stays stuck; "" where only mending helps.
func wayOut(run journal.Run) string {
	var p rollout.Plan
	if slices.Contains(abandonable, run.Kind) {
		return wayOutOf(run)
	}
	if run.Kind != rollout.Kind || json.Unmarshal(run.Payload, &p) != nil {
		return ""
	}
	return fmt.Sprintf("; godwit abandon %s --env %s gives it up and leaves what serves", p.Service, p.Environment)
}

func (e *Engine) resume(ctx context.Context, w *world, j *journal.Journal, run journal.Run, sink api.Sink) error {
	switch run.Kind {
	case rollout.Kind:
		return e.resumeRollout(ctx, w, j, run, sink)
	case migrate.KindCutover, migrate.KindRollback:
		return e.resumeSwitch(ctx, w, j, run, sink)
	case migrate.KindApply:
		return e.resumeApply(ctx, w, j, run, sink)
	case migrate.KindSync:
		return e.resumeSync(ctx, run)
	}
	return fmt.Errorf("nobody knows how to go on with a %q: it was written by another version of godwit", run.Kind)
}

func (e *Engine) resumeRollout(ctx context.Context, w *world, j *journal.Journal, run journal.Run, sink api.Sink) error {
	var p rollout.Plan
	if err := json.Unmarshal(run.Payload, &p); err != nil {
		return err
	}
	outcome, err := j.Resume(ctx, run, rollout.Steps(e.healed(w), p), sink.Steps(run.Subject))
	if outcome.Status == journal.Stuck {
		return err
	}
	_, err = e.rolloutEnded(ctx, p, fleet.Traffic{}, outcome, err)
	return err
}

// keepSettled tries on with what is stuck, until ctx ends: nobody has to type a
// command when what it waits for is there again.
func (e *Engine) keepSettled(ctx context.Context) {
	every(ctx, settleEvery, func() {
		if w, err := e.current(); err == nil {
			e.settleIdle(ctx, w)
		}
	})
}

// settleIdle settles what nobody works on, each apart.
func (e *Engine) settleIdle(ctx context.Context, w *world) {
	runs, err := e.journal.Unfinished(ctx)
	if err != nil {
		e.log.Error("what is unfinished", "error", err)
		return
	}
	for _, run := range runs {
		right := &claim{name: "settling " + run.Kind + " of " + run.Subject, brief: true}
		if about := environmentOf(run); about != "" && run.Kind == rollout.Kind {
			right.environments = []string{about}
		}
		e.briefly(ctx, right, func(ctx context.Context) error {
			return e.settleRun(ctx, w, e.journal.Within(e.brief), run, e.logSink())
		})
	}
	for _, env := range w.landscape.Environments {
		left, err := e.leftovers(ctx, []string{env.Name})
		if err == nil && len(left) == 0 {
			continue
		}
		e.briefly(ctx, &claim{name: "tidying up in " + env.Name, environments: []string{env.Name}, brief: true},
			func(ctx context.Context) error { e.tidy(ctx, w, []string{env.Name}); return nil })
	}
}

// briefly does what nobody waits for, when nobody else works there.
func (e *Engine) briefly(ctx context.Context, right *claim, do func(context.Context) error) {
	if e.claim(ctx, right) != nil {
		return
	}
	defer e.giveBack(right)
	limit, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := do(limit); err != nil && ctx.Err() == nil {
		e.log.Warn(right.name, "error", e.secrets.concealError(err))
	}
}
