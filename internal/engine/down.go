package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/api"
	"godwit/internal/migrate"
)

// Down ends everything that the engine runs, then the engine. What would lose
// data or the only truth is refused.
func (e *Engine) Down(ctx context.Context, r api.DownRequest, sink api.Sink) (struct{}, error) {
	var done struct{}
	end, err := e.begin("down")
	if err != nil {
		return done, err
	}
	defer end()
	w, err := e.current()
	if err == nil {
		err = e.mayGoDown(ctx, w, r.Approve)
	} else {
		err = nil
	}
	if err != nil {
		return done, err
	}
	e.ending.Store(true)
	if err := e.endAll(ctx, w, sink); err != nil {
		e.ending.Store(false)
		return done, err
	}
	defer e.quit()
	return done, nil
}

func (e *Engine) mayGoDown(ctx context.Context, w *world, approve bool) error {
	for _, m := range w.landscape.Migrations {
		state, err := e.migrationState(ctx, w, m.Name)
		if err != nil {
			return err
		}
		if state.Truth == migrate.Target && !approve {
			return api.Fail(api.Refused, "environment %q holds the truth of migration %q: run godwit migrate rollback first, or lose it with --approve", m.Environment, m.Name)
		}
	}
	for _, env := range w.landscape.Environments {
		if env.Protected && !approve {
			return api.Fail(api.Refused, "environment %q is protected: its databases would be removed with their data; run again with --approve if that is meant", env.Name)
		}
	}
	return nil
}

// endAll ends migrations (so that the source keeps nothing of ours),
// environments, gateway, and forgets.
func (e *Engine) endAll(ctx context.Context, w *world, sink api.Sink) error {
	var errs []error
	if w != nil {
		for _, m := range w.landscape.Migrations {
			errs = append(errs, e.leaveSource(ctx, w, m.Name, sink))
		}
		names, err := e.environmentNames(ctx, w)
		errs = append(errs, err)
		for _, name := range names {
			errs = append(errs, e.removeEnvironment(ctx, w, name, sink))
		}
	}
	errs = append(errs, timed(sink, "gateway", "stop", func() error { return e.stopGateway(ctx) }))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not everything ended; run godwit down again: %w", err)
	}
	e.setWorld(nil)
	if err := e.forget(ctx); err != nil {
		return err
	}
	return os.Remove(filepath.Join(e.dir, socketName)) // commands no longer expect an engine here
}

// stopGateway ends the gateway's process and waits until it is gone.
func (e *Engine) stopGateway(ctx context.Context) error {
	if e.gateway.Healthy(ctx) != nil {
		return nil
	}
	if err := e.gateway.Shutdown(ctx); err != nil {
		return err
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if e.gateway.Healthy(ctx) == nil {
			return struct{}{}, errors.New("the gateway still answers")
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)), backoff.WithMaxElapsedTime(15*time.Second))
	return err
}

// forget removes what a new up must not find: settings, migrations, the table.
// Images and the history of releases stay.
func (e *Engine) forget(ctx context.Context) error {
	for _, kind := range []string{documentMigration, documentEnvironment, documentSettings} {
		names, err := e.store.List(ctx, kind)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := e.store.Delete(ctx, kind, name); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(filepath.Join(e.dir, "gateway.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
