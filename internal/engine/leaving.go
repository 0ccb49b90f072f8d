package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/postgres"
)

// Finish removes the way back. Without a source it says what is lost by that, and
// has to be told that it is meant.
func (e *Engine) Finish(ctx context.Context, name string, r api.LeaveRequest, sink api.Sink) (api.Migration, error) {
	return e.leads(ctx, operation{name: "finish of migration " + name, migration: name, links: last, apart: r.WithoutSource,
		may: func(_ *world, m *migration) error { return m.state.mayFinish() },
		do: func(ctx context.Context, _ *world, m *migration, sink api.Sink) error {
			return sink.Timed(m.scope(), "finish", func() error {
				// Its way back is gone once it is finished: not before both sides say so.
				finish := m.finish
				if r.WithoutSource {
					finish = m.finishAlone
				}
				err := finish(ctx)
				switch {
				case errors.Is(err, postgres.ErrSource):
					return fmt.Errorf("nothing was ended: %w; mend that and run godwit migrate finish again. "+
						"If the source is gone for good: godwit migrate finish --without-source. Lost then is the way back; the environment keeps the truth, with every write. "+
						"What godwit made on the source stays there: godwit migrate by-hand says how to remove it", err)
				case err != nil:
					return fmt.Errorf("%w; mend that and run godwit migrate finish again", err)
				}
				return nil
			})
		}}, sink)
}

// Abort removes everything of a migration from both sides.
func (e *Engine) Abort(ctx context.Context, name string, r api.LeaveRequest, sink api.Sink) (api.Migration, error) {
	return e.leads(ctx, operation{name: "abort of migration " + name, migration: name, links: last, apart: r.WithoutSource,
		may: func(_ *world, m *migration) error { return m.state.mayAbort() },
		do: func(ctx context.Context, _ *world, m *migration, sink api.Sink) error {
			err := sink.Timed(m.scope(), "abort", func() error {
				m.withdraw(ctx, sink)
				if r.WithoutSource {
					return m.abortAlone(ctx)
				}
				return m.abort(ctx)
			})
			switch {
			case errors.Is(err, postgres.ErrSource):
				return fmt.Errorf("%w; mend that and run godwit migrate abort again. If the source is gone for good, the copy in environment %q is all that is left of it: "+
					"save it first (pg_dump); then godwit migrate abort --without-source removes that copy, and asks nothing of the source", err, m.Environment)
			case errors.Is(err, postgres.ErrUnreachable):
				down := "godwit down, which removes it with the environment"
				if m.world.fronted() {
					down = "godwit down --approve, which leaves it there"
				}
				return fmt.Errorf("the source is free of godwit, but what was copied into environment %q is still there: %w; run godwit migrate abort again when its database answers, or %s",
					m.Environment, err, down)
			}
			return err
		}}, sink)
}

// ByHand is the SQL that opens the source without an engine. Nobody is asked for
// it: it is for when nobody answers.
func (e *Engine) ByHand(ctx context.Context, name string) (api.ByHand, error) {
	w, err := e.current()
	if err != nil {
		return api.ByHand{}, err
	}
	m, err := e.migration(ctx, w, name)
	if err != nil {
		return api.ByHand{}, err
	}
	hand := api.ByHand{Databases: []api.Script{}}
	for _, d := range m.source().Databases {
		pair := postgres.Pair{Migration: m.Name, Database: d.Name}
		if config, err := w.settings.database(d); err == nil {
			pair.Source.Config = config
		}
		hand.Databases = append(hand.Databases, api.Script{Database: d.Name, SQL: pair.ByHand(postgres.Source)})
	}
	return hand, nil
}

// finish keeps the relays open until both sides are done with them.
func (m *migration) finish(ctx context.Context) error {
	if err := migrate.Finish(ctx, m.links.writers); err != nil {
		return err
	}
	return m.finished(ctx)
}

func (m *migration) finished(ctx context.Context) error {
	m.engine.relays.Lock()
	defer m.engine.relays.Unlock()
	if err := m.closeRelays(ctx); err != nil {
		return err
	}
	return m.save(ctx, func(s *migrationState) { s.Phase, s.Lost = phaseFinished, "" })
}

func (m *migration) abort(ctx context.Context) error {
	if err := migrate.Abort(ctx, m.links.writers); err != nil {
		return err
	}
	return m.aborted(ctx)
}

func (m *migration) aborted(ctx context.Context) error {
	m.engine.relays.Lock()
	defer m.engine.relays.Unlock()
	if err := m.closeRelays(ctx); err != nil {
		return err
	}
	return m.forget(ctx)
}

// finishAlone keeps the truth where it is, in the environment, also when a switch
// could be neither finished nor undone because the source is gone: a rollback that
// has not turned the routes has let nobody write there.
func (m *migration) finishAlone(ctx context.Context) error {
	inside, err := m.giveUp(ctx)
	if err != nil {
		return err
	}
	if err := migrate.FinishAlone(ctx, m.links.writers, inside); err != nil {
		return err
	}
	t := &traffic{m}
	if err := t.Route(ctx, migrate.Target); err != nil {
		return err
	}
	if _, err := t.Release(ctx); err != nil {
		return err
	}
	return m.finished(ctx)
}

func (m *migration) abortAlone(ctx context.Context) error {
	if _, err := m.giveUp(ctx); err != nil {
		return err
	}
	if err := migrate.AbortAlone(ctx, m.links.writers); err != nil {
		return err
	}
	return m.aborted(ctx)
}

// giveUp ends the runs of this migration that could not be settled, and says
// whether its last switch ended so, now or before.
func (m *migration) giveUp(ctx context.Context) (bool, error) {
	runs, err := m.engine.journal.Unfinished(ctx)
	if err != nil {
		return false, err
	}
	for _, r := range runs {
		if r.Subject != m.Name {
			continue
		}
		if _, err := m.engine.journal.GiveUp(ctx, r.ID, "the source is gone for good"); err != nil {
			return false, err
		}
	}
	return m.switchGivenUp(ctx)
}

// switchGivenUp says whether the last cutover or rollback was given up.
func (m *migration) switchGivenUp(ctx context.Context) (bool, error) {
	ended, err := m.engine.store.Runs(ctx, string(journal.Done), string(journal.Undone), string(journal.GivenUp))
	if err != nil {
		return false, err
	}
	for _, r := range slices.Backward(ended) {
		if r.Subject == m.Name && (r.Kind == migrate.KindCutover || r.Kind == migrate.KindRollback) {
			return r.Status == string(journal.GivenUp), nil
		}
	}
	return false, nil
}

// leaves takes godwit's traces off the source before everything ends. A copy that
// cannot be emptied goes with its environment.
func (m *migration) leaves(ctx context.Context, sink api.Sink) error {
	if m.state.Phase == phaseAdopted || m.state.Phase == phaseFinished {
		return nil
	}
	return sink.Timed(m.scope(), "leave the source", func() error {
		if err := last(ctx, m); err != nil {
			return err
		}
		defer m.links.close()
		if m.state.Truth == migrate.Target { // approved by whoever went down
			return m.finish(ctx)
		}
		err := m.abort(ctx)
		if err != nil && !m.world.fronted() && errors.Is(err, postgres.ErrUnreachable) && !errors.Is(err, postgres.ErrSource) {
			sink.Note(m.scope(), "the copy", fmt.Sprintf("is removed with its environment, for it could not be emptied: %v", err))
			return nil
		}
		return err
	})
}
