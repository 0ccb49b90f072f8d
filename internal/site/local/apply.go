package local

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"godwit/internal/gateway"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/local/warden"
)

// Apply implements site.Site. When the environment's warden has died, the new
// one gets the instances back that were there.
func (s *Site) Apply(ctx context.Context, l *landscape.Landscape, name string) error {
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if r, err := s.load(name); err == nil && r.Removed {
		if err := s.remove(ctx, r); err != nil {
			return err // what is left of the one before is none to go on with
		}
	}
	r, err := s.declare(l, name)
	if err != nil {
		return err
	}
	if err := s.save(r); err != nil {
		return err
	}
	return s.run(ctx, r)
}

// run has everything of a record running that is not.
func (s *Site) run(ctx context.Context, r *record) error {
	if err := s.ensureWarden(ctx, r); err != nil {
		return err
	}
	if r.Making {
		r.Making = false
		if err := s.save(r); err != nil {
			return err
		}
	}
	if err := s.client(r.Name).ApplyRules(ctx, r.rules()); err != nil {
		return fmt.Errorf("environment %s: %w", r.Name, err)
	}
	// Side by side: a database that recovers keeps no instance from starting, and
	// nobody is let in to either before both are ready.
	group, each := errgroup.WithContext(ctx)
	group.Go(func() error { return s.ensureDatabases(each, r) })
	group.Go(func() error { return s.putInstances(each, r) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.restartRelays(ctx, r); err != nil {
		return err
	}
	return s.client(r.Name).Complete(ctx)
}

// declare brings the record to what the landscape says.
func (s *Site) declare(l *landscape.Landscape, name string) (*record, error) {
	e, ok := l.Environment(name)
	if !ok {
		return nil, fmt.Errorf("environment %q in landscape %q: %w", name, l.Name, site.ErrNotFound)
	}
	addresses, ok := l.Addresses(name)
	if !ok {
		return nil, fmt.Errorf("environment %s: network %v cannot hold the landscape: %w", name, e.Network, site.ErrInvalid)
	}
	r, err := s.load(name)
	if errors.Is(err, site.ErrNotFound) {
		r, err = newRecord(name), nil
		r.Making = true
		r.Network, r.Router, r.Pool = e.Network, addresses.Router, addresses.Instances
	}
	if err != nil {
		return nil, err
	}
	if r.Network != e.Network {
		return nil, fmt.Errorf("environment %s has network %v and is declared with %v; remove it first: %w",
			name, r.Network, e.Network, site.ErrInvalid)
	}
	for _, d := range l.Databases {
		if r.Databases[d.Name] == nil {
			r.Databases[d.Name] = &databaseRecord{Address: addresses.Databases[d.Name],
				AdminPassword: newSecret(), Password: newSecret()}
		}
	}
	for name, have := range r.Services {
		_, declared := l.Service(name)
		have.Undeclared = !declared
		if have.gone() {
			delete(r.Services, name)
		}
	}
	for _, v := range l.Services {
		have := r.Services[v.Name]
		if have == nil {
			have = &serviceRecord{Virtual: addresses.Services[v.Name]}
			r.Services[v.Name] = have
		}
		have.Port, have.Needs = v.Port, v.Needs
		have.Ingress = slices.ContainsFunc(l.Ingresses, func(in landscape.Ingress) bool { return in.Service == v.Name })
	}
	return r, nil
}

// ensureWarden starts the environment's warden unless it runs.
func (s *Site) ensureWarden(ctx context.Context, r *record) error {
	_, err := s.client(r.Name).Status(ctx)
	if err == nil {
		return s.bound(r.Name) // an engine that died may not have come to it
	}
	if !errors.Is(err, warden.ErrNotRunning) {
		return err
	}
	// An engine that died may have left one that is just starting or ending.
	waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := warden.Wait(waiting, s.wardenDir(r.Name)); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dataDir(r.Name), 0o711); err != nil {
		return err
	}
	if s.plain && r.Loopback == 0 {
		if r.Loopback, err = s.freeLoopback(r); err != nil {
			return err
		}
		if err := s.save(r); err != nil {
			return err
		}
	}
	s.Logger.Info("starting warden", "environment", r.Name, "isolation", s.Abilities().Isolation)
	err = warden.Start(ctx, warden.Config{Dir: s.wardenDir(r.Name), Environment: r.Name, Router: r.real(r.Router),
		Trees: slices.Concat([]string{s.ImagesDir}, s.Postgres.Binds), Data: s.dataDir(r.Name), Plain: s.plain, GatewayID: s.GatewayID, RelayID: s.relayID(r.Name)})
	if err != nil {
		return err
	}
	return s.bound(r.Name)
}

// bound keeps an environment from taking all of the machine, where that can be
// had, and says so where it can't.
func (s *Site) bound(environment string) error {
	err := warden.Bound(s.wardenDir(environment), warden.Bounds{Memory: s.Memory})
	if errors.Is(err, warden.ErrUnbound) {
		s.unbound.Do(func() {
			s.Logger.Warn("NO BOUNDS: one program can take all memory of this machine", "error", err)
		})
		return nil
	}
	return err
}

// freeLoopback finds a part of the loopback network that nobody uses.
func (s *Site) freeLoopback(r *record) (uint8, error) {
	h := fnv.New32a()
	h.Write([]byte(s.recordPath(r.Name)))
	const first, count = 16, 230
	for i := range uint32(count) {
		n := uint8(first + (h.Sum32()+i)%count)
		b := r.Router.As4()
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, n, b[2], b[3]}), warden.PlainPort)
		if ln, err := net.Listen("tcp", at.String()); err == nil {
			return n, ln.Close()
		}
	}
	return 0, fmt.Errorf("environment %s: every part of the loopback network is in use", r.Name)
}

// Remove implements site.Site.
func (s *Site) Remove(ctx context.Context, name string) error {
	r, unlock, err := s.locked(ctx, name)
	if errors.Is(err, site.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	return s.remove(ctx, r)
}

// remove writes down first that the environment goes: what is half removed is
// nothing to bring back.
func (s *Site) remove(ctx context.Context, r *record) error {
	name := r.Name
	r.Removed = true
	if err := s.save(r); err != nil {
		return err
	}
	for database := range r.Relays {
		if err := s.closeRelay(ctx, r, database); err != nil {
			return err
		}
	}
	for service := range r.Services {
		if err := s.removePool(ctx, pool(name, service)); err != nil {
			return fmt.Errorf("environment %s: %w", name, err)
		}
	}
	unbound := warden.Unbound(s.wardenDir(name))
	if err := s.endWarden(ctx, name); err != nil {
		return err
	}
	if err := unbound(ctx); err != nil {
		return fmt.Errorf("remove environment %s: %w", name, err)
	}
	for _, dir := range []string{s.dataDir(name), s.wardenDir(name)} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove environment %s: %w", name, err)
		}
	}
	return os.Remove(s.recordPath(name))
}

// removePool empties a pool that a route still points at: routes are somebody
// else's, and must not keep an environment from being removed.
func (s *Site) removePool(ctx context.Context, name string) error {
	err := s.Gateway.DeletePool(ctx, name)
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return nil
	case errors.Is(err, gateway.ErrConflict):
		return s.Gateway.SetPool(ctx, name, gateway.Pool{})
	}
	return err
}

// endGracefully is how long a warden may take to stop its instances.
const endGracefully = 20 * time.Second

func (s *Site) endWarden(ctx context.Context, name string) error {
	dir := s.wardenDir(name)
	err := s.client(name).Shutdown(ctx)
	if errors.Is(err, warden.ErrNotRunning) {
		return warden.Wait(ctx, dir)
	}
	graceful, cancel := context.WithTimeout(ctx, endGracefully)
	defer cancel()
	if err == nil {
		err = warden.Wait(graceful, dir)
	}
	if err != nil {
		s.Logger.Warn("warden did not end when told to; killing it", "environment", name, "error", err)
		return warden.Kill(ctx, dir)
	}
	return nil
}
