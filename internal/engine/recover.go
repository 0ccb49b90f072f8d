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
	if err != nil {
		return e.troubled(err)
	}
	if !found {
		return nil
	}
	// First of all, from its last table: clients need neither the landscape nor its site.
	starts := e.ensureGateway(ctx, s.Listen)
	if starts != nil {
		e.keeper.want(s.Listen) // its address may become free
	}
	w, err := e.lastWorld(ctx, s)
	if err != nil {
		return errors.Join(starts, e.troubled(err))
	}
	e.setWorld(w)
	if err := e.keepAlive(ctx, w); err != nil {
		return errors.Join(starts, err)
	}
	if starts != nil {
		return starts
	}
	return e.settle(ctx, w, e.logSink())
}

// troubled keeps why the world of the last engine could not be taken up.
func (e *Engine) troubled(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trouble = err
	return err
}

// troubles is what troubled kept, "" when there is nothing.
func (e *Engine) troubles() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.trouble == nil {
		return ""
	}
	return fmt.Sprintf("what the last engine left could not be taken up: %v", e.trouble)
}

// lastWorld is the world of the last engine.
func (e *Engine) lastWorld(ctx context.Context, s settings) (*world, error) {
	e.secrets.keep(s.Landscape.Env)
	l, err := parse(s.Landscape)
	if err != nil {
		return nil, err
	}
	if err := s.bind(l); err != nil {
		return nil, err
	}
	w := &world{landscape: l, settings: s}
	return w, e.openSite(ctx, w, e.logSink())
}

// settle finishes or undoes every run that the journal has begun and not ended,
// before anything else is begun.
func (e *Engine) settle(ctx context.Context, w *world, sink api.Sink) error {
	runs, err := e.journal.Unfinished(ctx)
	if err != nil || len(runs) == 0 {
		return err
	}
	var errs []error
	for _, run := range runs {
		e.log.Warn("settling what was under way", "run", run.ID, "kind", run.Kind, "subject", run.Subject)
		if err := e.resume(ctx, w, run, sink); err != nil {
			errs = append(errs, fmt.Errorf("%s of %s: %w", run.Kind, run.Subject, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("what was begun earlier can be neither finished nor undone yet, and nothing else is begun before: %w; mend that and try again", err)
	}
	return nil
}

func (e *Engine) resume(ctx context.Context, w *world, run journal.Run, sink api.Sink) error {
	switch run.Kind {
	case rollout.Kind:
		return e.resumeRollout(ctx, w, run, sink)
	case migrate.KindCutover, migrate.KindRollback:
		return e.resumeSwitch(ctx, w, run, sink)
	case migrate.KindSync:
		return e.resumeSync(ctx, run)
	}
	return fmt.Errorf("nobody knows how to go on with a %q: it was written by another version of godwit", run.Kind)
}

func (e *Engine) resumeRollout(ctx context.Context, w *world, run journal.Run, sink api.Sink) error {
	var p rollout.Plan
	if err := json.Unmarshal(run.Payload, &p); err != nil {
		return err
	}
	outcome, err := e.journal.Resume(ctx, run, rollout.Steps(e.healed(w), p), sink.Steps(run.Subject))
	r, err := e.rolloutEnded(ctx, p, fleet.Traffic{}, outcome, err)
	if err == nil && outcome.Status == journal.Stuck {
		err = errors.New(r.Reason)
	}
	return err
}
