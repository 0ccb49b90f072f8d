package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

const (
	// healPatience bounds how long a step waits for an environment to be back,
	// where its own budget allows more.
	healPatience = 20 * time.Second
	// dialPatience is the same for one connection.
	dialPatience = 5 * time.Second
)

// healed is a site whose environments may die while somebody works on them: a
// call that meets a dead one ends at once, waits within its context until the
// environment is back, and is made again. All calls of a site may be.
//
// It is for one operation's steps, one after the other.
type healed struct {
	site.Site
	healers *healers
	seen    map[string]context.Context // the life in which an environment was last seen
}

func (e *Engine) healed(w *world) *healed {
	return &healed{Site: w.site, healers: &e.healers, seen: map[string]context.Context{}}
}

// in does something in an environment, in one life of it, nil where nobody knows
// of lives.
func (s *healed) in(ctx context.Context, environment string, do func(ctx, life context.Context) error) error {
	h := s.healers.of(environment)
	if h == nil {
		return do(ctx, nil)
	}
	for {
		patience, cancel := context.WithTimeoutCause(ctx, healPatience, fmt.Errorf("waited for %v", healPatience))
		life, err := h.alive(patience, false)
		cancel()
		if err != nil {
			return err
		}
		err = inLife(ctx, life, func(ctx context.Context) error { return do(ctx, life) })
		if err == nil || ctx.Err() != nil || !h.met(ctx, life) {
			return err
		}
	}
}

// inLife does something that ends when the life does.
func inLife(ctx, life context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(life, func() { cancel(context.Cause(life)) })()
	return do(ctx)
}

// Observe waits, as for an environment, for a gateway that hangs until it is replaced.
func (s *healed) Observe(ctx context.Context, environment string) (o site.Environment, err error) {
	patience, cancel := context.WithTimeout(ctx, healPatience)
	defer cancel()
	for {
		o, err = s.observe(ctx, environment)
		if !errors.Is(err, site.ErrGatewaySilent) || patience.Err() != nil {
			return o, err
		}
	}
}

// observe says ErrDead once for each death since it was last called: everything
// that was launched is there again, and nothing is known of how it is.
func (s *healed) observe(ctx context.Context, environment string) (o site.Environment, err error) {
	err = s.in(ctx, environment, func(ctx, life context.Context) (err error) {
		if before := s.seen[environment]; before != nil && before.Err() != nil {
			s.seen[environment] = life
			return fmt.Errorf("environment %s was brought back meanwhile: %w", environment, site.ErrDead)
		}
		o, err = s.Site.Observe(ctx, environment)
		if err == nil && life != nil && dead(o) && s.healers.of(environment).met(ctx, life) {
			return fmt.Errorf("environment %s: %w", environment, site.ErrDead) // that is why
		}
		if err == nil {
			s.seen[environment] = life
		}
		return err
	})
	return o, err
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

func (s *healed) Apply(ctx context.Context, l *landscape.Landscape, environment string) error {
	return s.in(ctx, environment, func(ctx, _ context.Context) error { return s.Site.Apply(ctx, l, environment) })
}

func (s *healed) Launch(ctx context.Context, r fleet.Release) error {
	return s.in(ctx, r.Environment, func(ctx, _ context.Context) error { return s.Site.Launch(ctx, r) })
}

func (s *healed) Shift(ctx context.Context, environment, service string, weights fleet.Weights) error {
	return s.in(ctx, environment, func(ctx, _ context.Context) error { return s.Site.Shift(ctx, environment, service, weights) })
}

func (s *healed) Drain(ctx context.Context, environment, service string, release int) error {
	return s.in(ctx, environment, func(ctx, _ context.Context) error { return s.Site.Drain(ctx, environment, service, release) })
}

func (s *healed) Retire(ctx context.Context, environment, service string, release int) error {
	return s.in(ctx, environment, func(ctx, _ context.Context) error { return s.Site.Retire(ctx, environment, service, release) })
}

// openRelay opens a relay in an environment that may have to be brought back first.
func (s *healed) openRelay(ctx context.Context, environment, database, source string) (r site.Relay, err error) {
	relayer, ok := s.Site.(site.Relayer)
	if !ok {
		return r, unsupported("relay")
	}
	err = s.in(ctx, environment, func(ctx, _ context.Context) (err error) {
		r, err = relayer.OpenRelay(ctx, environment, database, source)
		return err
	})
	return r, err
}

// configure gives a database's server settings, where the site runs it.
func (s *healed) configure(ctx context.Context, environment, database string, settings map[string]string) error {
	c, ok := s.Site.(site.Configurer)
	if !ok || len(settings) == 0 {
		return nil
	}
	return s.in(ctx, environment, func(ctx, _ context.Context) error { return c.Configure(ctx, environment, database, settings) })
}

// access is the administrator's way to an environment's database: its connections
// end with the environment, at once, for what is answered by nobody is waited for
// as long as the kernel likes.
func (s *healed) access(ctx context.Context, environment, database string) (site.DatabaseAccess, error) {
	a, ok := s.Site.(site.Administrator)
	if !ok {
		return site.DatabaseAccess{}, unsupported("way to its databases")
	}
	way, err := a.Database(ctx, environment, database)
	if h := s.healers.of(environment); err == nil && h != nil && way.Dial != nil {
		way.Dial = h.dial(way.Dial)
	}
	return way, err
}

type dial = func(ctx context.Context, network, address string) (net.Conn, error)

// dial waits until the environment is back, but not for a second attempt.
func (h *healer) dial(dial dial) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		patience, cancel := context.WithTimeoutCause(ctx, dialPatience, fmt.Errorf("waited for %v", dialPatience))
		defer cancel()
		life, err := h.alive(patience, true)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			h.met(ctx, life) // the next one waits
			return nil, err
		}
		m := &mortal{Conn: conn, life: life}
		m.stop = context.AfterFunc(life, func() { conn.Close() })
		return m, nil
	}
}

// mortal is a connection that ends with an environment's life.
type mortal struct {
	net.Conn
	life context.Context
	stop func() bool
}

func (m *mortal) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	return n, m.because(err)
}

func (m *mortal) Write(b []byte) (int, error) {
	n, err := m.Conn.Write(b)
	return n, m.because(err)
}

func (m *mortal) because(err error) error {
	if err != nil && m.life.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(m.life), err)
	}
	return err
}

func (m *mortal) Close() error {
	m.stop()
	return m.Conn.Close()
}
