package engine

import (
	"context"
	"log/slog"
	"sync"

	"godwit/internal/site"
)

// healers are the loops that keep environments alive, one for each. They follow
// the world: which environments there are, on which site.
type healers struct {
	log *slog.Logger

	mu      sync.Mutex
	running map[string]*running
	closed  bool
}

// running is a healer's loop.
type running struct {
	*healer
	stop  context.CancelFunc
	ended chan struct{}
}

// follow makes the healers those of these environments on this site. One that
// makes no environments has none.
func (hs *healers) follow(s site.Site, environments []string) {
	reviver, _ := s.(site.Reviver)
	hs.mu.Lock()
	var leaving []*running
	wanted := map[string]bool{}
	for _, name := range environments {
		wanted[name] = reviver != nil && !hs.closed
	}
	for name, r := range hs.running {
		if !wanted[name] || r.site != reviver {
			leaving = append(leaving, r)
			delete(hs.running, name)
		}
	}
	for name, want := range wanted {
		if want && hs.running[name] == nil {
			hs.start(newHealer(name, reviver, hs.log))
		}
	}
	hs.mu.Unlock()
	for _, r := range leaving {
		r.end()
	}
}

// start starts a loop; hs is locked.
func (hs *healers) start(h *healer) {
	ctx, stop := context.WithCancel(context.Background())
	r := &running{h, stop, make(chan struct{})}
	go func() {
		defer close(r.ended)
		h.run(ctx)
	}()
	if hs.running == nil {
		hs.running = map[string]*running{}
	}
	hs.running[h.name] = r
}

func (r *running) end() {
	r.stop()
	<-r.ended
}

// of is the healer of an environment; nil when nobody heals it.
func (hs *healers) of(environment string) *healer {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if r := hs.running[environment]; r != nil {
		return r.healer
	}
	return nil
}

// close ends the loops and waits for them.
func (hs *healers) close() {
	hs.mu.Lock()
	hs.closed = true
	hs.mu.Unlock()
	hs.follow(nil, nil)
}
