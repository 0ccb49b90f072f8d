package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/rollout"
)

// recover finds again what the last engine left running, and finishes or undoes
// what it was doing.
func (e *Engine) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	s, found, err := e.loadSettings(ctx)
	if err != nil || !found {
		return err
	}
	l, err := parse(s.Landscape)
	if err != nil {
		return err
	}
	if err := s.bind(l); err != nil {
		return err
	}
	site, err := e.openSite(ctx, s, e.logSink())
	if err != nil {
		return err
	}
	w := &world{landscape: l, settings: s, site: site}
	e.setWorld(w)
	if err := e.ensureGateway(ctx, s.Listen); err != nil {
		return err
	}
	return e.settle(ctx, w)
}

// settle resumes every run that the journal has begun and not ended.
func (e *Engine) settle(ctx context.Context, w *world) error {
	runs, err := e.journal.Unfinished(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, run := range runs {
		e.log.Warn("settling what was under way", "run", run.ID, "kind", run.Kind, "subject", run.Subject)
		if err := e.resume(ctx, w, run); err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", run.Kind, run.Subject, err))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) resume(ctx context.Context, w *world, run journal.Run) error {
	switch run.Kind {
	case rollout.Kind:
		return e.resumeRollout(ctx, w, run)
	case migrate.KindCutover, migrate.KindRollback:
		return e.resumeSwitch(ctx, w, run)
	case migrate.KindSync:
		return e.resumeSync(ctx, run)
	}
	return fmt.Errorf("nobody knows how to go on with a %q: it was written by another version of godwit", run.Kind)
}

func (e *Engine) resumeRollout(ctx context.Context, w *world, run journal.Run) error {
	var p rollout.Plan
	if err := json.Unmarshal(run.Payload, &p); err != nil {
		return err
	}
	outcome, err := e.journal.Resume(ctx, run, rollout.Steps(w.site, p), steps(e.logSink(), run.Subject))
	r, err := e.rolloutEnded(ctx, p, fleet.Traffic{}, outcome, err)
	if err == nil && outcome.Status == journal.Stuck {
		err = errors.New(r.Reason)
	}
	return err
}

// logSink shows progress in the engine's log, when no client is there.
func (e *Engine) logSink() api.Sink {
	return api.Sink{
		Event: func(v api.Event) {
			e.log.Info(v.Step, "scope", v.Scope, "state", v.State, "message", v.Message, "ms", v.MS)
		},
		Row: func(any) {},
	}
}
