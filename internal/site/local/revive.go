package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"godwit/internal/site"
	"godwit/internal/site/local/warden"
)

// Pulse implements site.Reviver.
func (s *Site) Pulse(ctx context.Context, environment string) error {
	return s.pulse(ctx, environment, site.PulseLimit)
}

// pulse is Pulse with another limit.
func (s *Site) pulse(ctx context.Context, environment string, within time.Duration) error {
	if _, err := os.Stat(s.recordPath(environment)); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("environment %q: %w", environment, site.ErrNotFound)
		}
		return err
	}
	limit, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	whole, err := s.whole(limit, environment)
	switch {
	case err == nil && !whole:
		return s.dead(environment) // whoever was bringing it back has ended
	case err == nil:
		return nil
	case errors.Is(err, warden.ErrNotRunning):
		return s.dead(environment)
	case limit.Err() != nil && ctx.Err() == nil:
		return fmt.Errorf("environment %s: %w", environment, site.ErrSilent)
	}
	return err
}

// whole: a warden has everything of its environment, or somebody is giving it that.
// It is asked a second time: who had the lock may have ended since the first answer.
func (s *Site) whole(ctx context.Context, environment string) (bool, error) {
	for range 2 {
		state, err := s.client(environment).Status(ctx)
		if err != nil || state.Complete || s.changing(environment) {
			return true, err
		}
	}
	return false, nil
}

// dead tells one that has died from one that is being made or removed.
func (s *Site) dead(environment string) error {
	r, err := s.load(environment)
	if err != nil {
		return err
	}
	if err := r.there(); err != nil {
		return err
	}
	return fmt.Errorf("environment %s: %w", environment, site.ErrDead)
}

// there: it was made and not removed. Else there is nothing to bring back.
func (r *record) there() error {
	switch {
	case r.Removed:
		return fmt.Errorf("environment %q is being removed: %w", r.Name, site.ErrNotFound)
	case r.Making:
		return fmt.Errorf("environment %q is being made: %w", r.Name, site.ErrNotFound)
	}
	return nil
}

// stillSilent is how long a warden may be silent that is to be replaced for its
// silence: whoever asks for that has waited for it already.
const stillSilent = time.Second

// Revive implements site.Reviver. A silent warden is ended before the lock is
// taken: whoever holds the lock may be waiting for its answer.
func (s *Site) Revive(ctx context.Context, environment string) error {
	if errors.Is(s.pulse(ctx, environment, stillSilent), site.ErrSilent) {
		s.Logger.Warn("a warden does not answer; killing it", "environment", environment)
		if err := warden.Kill(ctx, s.wardenDir(environment)); err != nil {
			return err
		}
	}
	r, unlock, err := s.locked(ctx, environment)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.there(); err != nil {
		return err
	}
	return s.run(ctx, r)
}
