package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"godwit/internal/api"
	"godwit/internal/migrate/postgres"
)

const (
	// walCheck is how often it is looked how much log is kept for a side that should follow.
	walCheck = 15 * time.Second
	// walPatience bounds a look at one side.
	walPatience = 10 * time.Second
)

// boundWAL gives up the ways of migrations for which a side keeps more of its log than
// is declared, until ctx ends: the other side is dead, or will never catch up, and a
// full disk would end the one that lives.
func (e *Engine) boundWAL(ctx context.Context) {
	every(ctx, walCheck, func() {
		w, err := e.current()
		if err != nil {
			return
		}
		for _, m := range w.landscape.Migrations {
			if err := e.boundWALOf(ctx, w, m.Name); err != nil && ctx.Err() == nil && !isBusy(err) {
				e.log.Warn("how much log is kept", "migration", m.Name, "error", err)
			}
		}
	})
}

// boundWALOf looks at one migration, without any right, and claims one only to act. A
// sync that copies is left alone: it ends by itself, or somebody waits for it.
func (e *Engine) boundWALOf(ctx context.Context, w *world, name string) error {
	m, err := e.migration(ctx, w, name)
	if err != nil || !m.state.follows() || e.busy() {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, walPatience)
	defer cancel()
	over, err := m.overWAL(ctx)
	if err != nil || over == "" {
		return err
	}
	return e.operate(ctx, operation{name: "giving up the way of migration " + name + ": " + over, migration: name, links: last, apart: true,
		do: func(ctx context.Context, _ *world, m *migration, _ api.Sink) error {
			if !m.state.follows() {
				return nil // it has ended meanwhile
			}
			return m.giveUpWay(ctx, over)
		}}, api.Sink{Row: func(any) {}, Event: func(api.Event) {}})
}

// follows: one side keeps its log for the other one.
func (s migrationState) follows() bool {
	return s.Phase == phaseSynced || s.Phase == phaseCutOver || s.Phase == phaseRolledBack
}

// overWAL says which database's log has passed what is declared, or is still kept for
// a way that was given up; "" when none is. Only the side that holds the truth is asked.
func (m *migration) overWAL(ctx context.Context) (string, error) {
	readers, err := m.readers(ctx)
	defer closeReaders(readers)
	if err != nil {
		return "", err
	}
	for _, r := range readers {
		kept, err := r.Kept(ctx, string(m.state.Truth))
		if err != nil {
			return "", err
		}
		if m.KeepWAL > 0 && kept > m.KeepWAL || m.state.Lost != "" && kept > 0 {
			return fmt.Sprintf("the %s of database %s kept %d MB of its log for the %s, and keep_wal allows %d MB",
				m.state.Truth, r.Database, kept>>20, m.state.Truth.Other(), m.KeepWAL>>20), nil
		}
	}
	return "", nil
}

// giveUpWay writes down that the way is lost before it loses it: what a killed engine
// left of the slots, the next one drops.
func (m *migration) giveUpWay(ctx context.Context, why string) error {
	lost := fmt.Sprintf("the %s cannot follow any more, its way was given up: %s; %s. ", m.state.Truth.Other(), why, postgres.LostMend)
	if err := m.save(ctx, func(s *migrationState) { s.Lost = cmp.Or(s.Lost, lost) }); err != nil {
		return err
	}
	m.engine.log.Error("a way is given up", "migration", m.Name, "why", m.state.Lost)
	var failures []error
	for _, b := range m.links.writers {
		failures = append(failures, b.GiveUpWay(ctx, string(m.state.Truth)))
	}
	return errors.Join(failures...)
}
