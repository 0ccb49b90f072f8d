package engine

import (
	"context"
	"fmt"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/site"
)

// reviveCheck is how often the engine looks whether an environment has died.
const reviveCheck = 2 * time.Second

// keepEnvironments brings environments back that have died as a whole, until
// ctx ends. Single instances are the site's to keep.
func (e *Engine) keepEnvironments(ctx context.Context) {
	every(ctx, reviveCheck, func() {
		w, err := e.current()
		if err != nil || e.busy() {
			return // whoever is under way revives what it needs
		}
		if err := e.reviveIdle(ctx, w); err != nil && ctx.Err() == nil {
			e.log.Error("environments", "error", err)
		}
	})
}

// reviveIdle looks without claiming anything, so that no command finds the
// engine busy for nothing.
func (e *Engine) reviveIdle(ctx context.Context, w *world) error {
	died, err := e.died(ctx, w)
	if err != nil || len(died) == 0 {
		return err
	}
	giveBack, err := e.claim("bringing back what has died")
	if err != nil {
		return nil
	}
	defer giveBack()
	return e.revive(ctx, w)
}

// revive brings back every environment that was made and has died.
func (e *Engine) revive(ctx context.Context, w *world) error {
	died, err := e.died(ctx, w)
	if err != nil {
		return err
	}
	for _, name := range died {
		e.log.Warn("an environment has died; bringing it back", "environment", name)
		if err := w.site.Apply(ctx, w.landscape, name); err != nil {
			return fmt.Errorf("environment %s has died and cannot be brought back: %w", name, err)
		}
	}
	return nil
}

// died are the declared environments of which nothing lives any more.
func (e *Engine) died(ctx context.Context, w *world) ([]string, error) {
	if w.fronted() {
		return nil, nil // whoever made them keeps them
	}
	observed, err := e.observe(ctx, w, w.watched())
	var died []string
	for _, o := range observed {
		if dead(o) {
			died = append(died, o.Name)
		}
	}
	return died, err
}

// dead: something should run, and nothing does.
func dead(o site.Environment) bool {
	parts := len(o.Databases)
	for _, d := range o.Databases {
		if d.Ready {
			return false
		}
	}
	for _, f := range o.Fleets {
		for _, i := range f.Instances {
			if parts++; i.State != fleet.Dead {
				return false
			}
		}
	}
	return parts > 0
}
