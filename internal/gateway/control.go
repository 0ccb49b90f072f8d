package gateway

import (
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/fleet"
)

// maxLease bounds how long a dead engine can keep clients waiting.
const maxLease = 10 * time.Minute

// control owns the table and the holds. Changes are made one at a time, each
// durable before it takes effect; the data path reads only view.
type control struct {
	log    *slog.Logger
	state  stateFile
	room   room
	counts counts
	forget func(Endpoint) // told of endpoints that are gone
	view   atomic.Pointer[view]
	tasks  sync.WaitGroup

	outages outages

	// predecessor is closed once the gateway we took over from has finished its
	// requests; nil without one. Nothing is drained before that.
	predecessor chan struct{}

	mu         sync.Mutex
	table      Table
	pools      map[string]*pool
	lanes      map[string]*lane
	holds      map[string]*hold
	superseded bool
}

func newControl(t Table, cfg Config) *control {
	c := &control{
		log: cfg.Log, state: stateFile{cfg.State}, room: room{size: int64(cfg.MaxHeld)}, forget: cfg.Forward.Forget,
		table: t, pools: map[string]*pool{}, lanes: map[string]*lane{}, holds: map[string]*hold{},
		outages: outages{reach: cfg.Forward.Reach, patience: cfg.EndpointWait, room: room{size: int64(cfg.MaxWaiting)}, of: map[*pool]*outage{}},
	}
	for name, p := range t.Pools {
		c.pools[name] = newPool(name, p)
	}
	c.publish()
	return c
}

// publish makes the data path see c.table. c.mu is held, or c is not shared yet.
func (c *control) publish() {
	v := &view{version: c.table.Version, routes: make(map[string]binding, len(c.table.Routes))}
	for host, route := range c.table.Routes {
		l := c.lanes[host]
		if l == nil {
			l = &lane{host: host}
			c.lanes[host] = l
		}
		v.routes[host] = binding{lane: l, pool: c.pools[route.Pool]}
	}
	c.view.Store(v)
	for host, l := range c.lanes {
		if _, routed := v.routes[host]; !routed && l.inflight.now() == 0 && l.hold.Load() == nil {
			delete(c.lanes, host)
		}
	}
}

// change makes edit durable and then lets apply make it seen.
func (c *control) change(edit func(*Table) error, apply func()) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.superseded {
		return 0, ErrSuperseded
	}
	next := c.table.clone()
	if err := edit(&next); err != nil {
		return 0, err
	}
	if reflect.DeepEqual(next, c.table) {
		return c.table.Version, nil
	}
	next.Version++
	if err := c.state.save(next); err != nil {
		return 0, err
	}
	c.table = next
	apply()
	c.lookAgain()
	return next.Version, nil
}

// SetPool makes or replaces a pool.
func (c *control) SetPool(name string, p Pool) (uint64, error) {
	if err := validatePool(name, p); err != nil {
		return 0, err
	}
	return c.change(func(t *Table) error {
		t.Pools[name] = p
		return nil
	}, func() {
		running := c.pools[name]
		if running == nil {
			c.pools[name] = newPool(name, p)
			return
		}
		for _, e := range running.set(p) {
			c.forget(e)
		}
	})
}

// DeletePool removes a pool that no route points at. No error when there is none.
func (c *control) DeletePool(name string) (uint64, error) {
	return c.change(func(t *Table) error {
		for host, r := range t.Routes {
			if r.Pool == name {
				return errorf(ErrConflict, "route %s points at pool %s; delete or move the route first", host, name)
			}
		}
		for id, h := range c.holds {
			if h.fallsBackTo(name) {
				return errorf(ErrConflict, "hold %q releases to pool %s when its lease ends; release it first", id, name)
			}
		}
		delete(t.Pools, name)
		return nil
	}, func() {
		for _, e := range c.pools[name].set(Pool{}) {
			c.forget(e)
		}
		delete(c.pools, name)
	})
}

// SetRoutes points hosts at pools, all at the same instant; other routes stay.
func (c *control) SetRoutes(routes map[string]string) (uint64, error) {
	if len(routes) > maxHosts {
		return 0, errorf(ErrInvalid, "%d routes at once; at most %d are allowed", len(routes), maxHosts)
	}
	return c.change(func(t *Table) error {
		for host, pool := range routes {
			if err := validateHost(host); err != nil {
				return err
			}
			if _, ok := t.Pools[pool]; !ok {
				return errorf(ErrInvalid, "route %s: pool %q does not exist; set the pool first", host, pool)
			}
			t.Routes[host] = Route{Pool: pool}
		}
		return nil
	}, c.publish)
}

// DeleteRoute removes a route. No error when there is none.
func (c *control) DeleteRoute(host string) (uint64, error) {
	return c.change(func(t *Table) error {
		delete(t.Routes, host)
		return nil
	}, c.publish)
}

// Table is what holds now.
func (c *control) Table() Table {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table.clone()
}

// Stats is a snapshot; counters of different releases are not read at one instant.
func (c *control) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Version: c.table.Version, Waiting: c.room.used.Load() + c.outages.room.used.Load(), Pools: map[string]PoolStats{}, Hosts: map[string]int64{}, Disturbed: c.counts.now()}
	for name, p := range c.pools {
		inflight := map[string]int64{}
		for _, e := range p.state.Load().endpoints {
			inflight[e.ID] = e.inflight.Load()
		}
		s.Pools[name] = PoolStats{Traffic: p.traffic(), InFlight: inflight}
	}
	for host := range c.table.Routes {
		s.Hosts[host] = c.lanes[host].inflight.now()
	}
	return s
}

// inherit takes over what a predecessor counted.
func (c *control) inherit(traffic map[string]map[int]fleet.Traffic) {
	for name, releases := range traffic {
		p := c.pools[name]
		if p == nil {
			continue
		}
		for number, t := range releases {
			if r := p.state.Load().releases[number]; r != nil {
				r.inherit(t)
			}
		}
	}
}

// handOver runs give with the table frozen. If give succeeds, this gateway
// changes nothing any more.
func (c *control) handOver(give func(Table, map[string]map[int]fleet.Traffic) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.superseded {
		return ErrSuperseded
	}
	for id, h := range c.holds {
		if h.active() {
			return errorf(ErrConflict, "hold %q is active; a gateway that holds requests is not replaced", id)
		}
	}
	traffic := map[string]map[int]fleet.Traffic{}
	for name, p := range c.pools {
		traffic[name] = p.traffic()
	}
	if err := give(c.table, traffic); err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	c.superseded = true
	return nil
}

// stop refuses what is on hold: letting it go could break what the hold protects.
func (c *control) stop() {
	c.mu.Lock()
	for _, h := range c.holds {
		h.end(false, aborted)
	}
	c.stopOutages()
	c.mu.Unlock()
	c.tasks.Wait()
}
