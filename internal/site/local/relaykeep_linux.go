package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"godwit/internal/site"
	"godwit/internal/site/local/network"
	"godwit/internal/site/local/warden"
)

const (
	// relayAnswers bounds one question through a relay.
	relayAnswers = 2 * time.Second
	// deafTolerated is how many looks in a row may find that a relay does not relay
	// before it is started again: after its environment's end it comes back itself.
	deafTolerated = 3
)

// RelayState implements site.RelayKeeper.
func (s *Site) RelayState(ctx context.Context, environment, database string) (site.RelayState, error) {
	r, err := s.load(environment)
	if err != nil {
		return site.RelayState{}, err
	}
	open := r.Relays[database]
	if open == nil {
		return site.RelayState{}, fmt.Errorf("relay of database %q in environment %s: %w", database, environment, site.ErrNotFound)
	}
	state := site.RelayState{Relay: r.relay(open)}
	if !open.alive() {
		state.ToSource = errors.New("the relay's process has ended")
		state.ToTarget = state.ToSource
		return state, nil
	}
	var both sync.WaitGroup
	both.Go(func() { state.ToSource = s.askInside(ctx, r, database, "postgres") })
	both.Go(func() { state.ToTarget = askHost(ctx, open.HostListen) })
	both.Wait()
	return state, nil
}

func (r *record) relay(open *relayRecord) site.Relay {
	return site.Relay{Source: r.realPort(r.Router, int(open.Port)).String(), Target: open.HostListen}
}

// askInside asks from where the database is, through the relay, for the source's.
func (s *Site) askInside(ctx context.Context, r *record, database, how string) error {
	limit, cancel := context.WithTimeout(ctx, 2*relayAnswers)
	defer cancel()
	at := r.realPort(r.Router, int(r.Relays[database].Port))
	answers, err := s.client(r.Name).Probe(limit, []warden.Probe{{From: databaseID(database), Network: how, To: at, Timeout: relayAnswers}})
	switch {
	case err != nil:
		return err
	case answers[0].Error != "":
		return errors.New(answers[0].Error)
	case answers[0].Outcome != network.Open:
		return fmt.Errorf("the database in %s asks the source through the relay at %s: %s", r.Name, at, answers[0].Outcome)
	}
	return nil
}

// askHost asks from the host, through the relay, for the environment's database.
func askHost(ctx context.Context, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if got := network.Probe(ctx, "postgres", at, relayAnswers); got != network.Open {
		return fmt.Errorf("the source's side asks the database through the relay at %s: %s", at, got)
	}
	return nil
}

// KeepRelays implements site.RelayKeeper. It looks without the lock: whoever
// changes the environment is not kept waiting by a relay that is slow.
func (s *Site) KeepRelays(ctx context.Context, environment string, tell func(context.Context) error) error {
	r, err := s.load(environment)
	if errors.Is(err, site.ErrNotFound) || err == nil && r.Removed {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	untold := false
	for _, database := range slices.Sorted(maps.Keys(r.Relays)) {
		if s.relayFails(ctx, r, database) {
			errs = append(errs, s.restartRelay(ctx, environment, database))
		}
	}
	if r, err = s.load(environment); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, open := range r.Relays {
		untold = untold || open.Untold
	}
	if untold {
		if err := tell(ctx); err != nil {
			return errors.Join(append(errs, fmt.Errorf("tell the source's side the relay's new address: %w", err))...)
		}
		errs = append(errs, s.told(ctx, environment))
	}
	return errors.Join(errs...)
}

// relayFails says whether a relay's process has ended, or has not relayed for some
// looks though what it relays to was there.
func (s *Site) relayFails(ctx context.Context, r *record, database string) bool {
	open := r.Relays[database]
	if !open.alive() {
		return true
	}
	key := r.Name + "/" + database
	fails := s.askInside(ctx, r, database, "tcp") != nil
	if !fails && askHost(ctx, open.HostListen) != nil {
		// The database itself may be away, and the relay is not to blame.
		conn, err := s.connect(ctx, r, database)
		if fails = err == nil; fails {
			conn.Close(ctx)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !fails || ctx.Err() != nil {
		delete(s.deaf, key)
		return false
	}
	s.deaf[key]++
	return s.deaf[key] >= deafTolerated
}

func (s *Site) restartRelay(ctx context.Context, environment, database string) error {
	r, unlock, err := s.locked(ctx, environment)
	if err != nil {
		return err
	}
	defer unlock()
	open := r.Relays[database]
	if open == nil {
		return nil // closed meanwhile
	}
	if err := s.client(environment).ApplyRules(ctx, r.rules()); err != nil {
		return err // without its environment it could not start
	}
	s.Logger.Warn("a relay does not relay; starting it again", "environment", environment, "database", database)
	if err := open.end(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.deaf, environment+"/"+database)
	s.mu.Unlock()
	if err := s.startRelay(ctx, r, database); err != nil {
		return fmt.Errorf("relay of database %s in %s: %w", database, environment, err)
	}
	return nil
}

// told notes that the other end knows where every relay listens.
func (s *Site) told(ctx context.Context, environment string) error {
	r, unlock, err := s.locked(ctx, environment)
	if err != nil {
		return err
	}
	defer unlock()
	for _, open := range r.Relays {
		open.Untold = false
	}
	return s.save(r)
}

// restartRelays brings back those whose process has ended, with an environment
// that is brought back. One that lives finds the new environment itself. That one
// cannot be started keeps no environment from living: KeepRelays tries again.
func (s *Site) restartRelays(ctx context.Context, r *record) error {
	for _, database := range slices.Sorted(maps.Keys(r.Relays)) {
		if r.Relays[database].alive() {
			continue
		}
		if err := s.startRelay(ctx, r, database); err != nil {
			s.Logger.Error("a relay cannot be started", "environment", r.Name, "database", database, "error", err)
		}
	}
	return ctx.Err()
}
