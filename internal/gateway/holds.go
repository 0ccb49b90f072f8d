package gateway

import (
	"reflect"
	"slices"
	"time"
)

// Hold makes new requests for hosts wait, or renews the lease of a hold with
// the same id and hosts; what it says of the lease's end replaces what was said.
func (c *control) Hold(id string, req HoldRequest) error {
	hosts, lease := slices.Compact(slices.Sorted(slices.Values(req.Hosts))), req.lease()
	if err := validateHold(id, hosts, lease); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.superseded {
		return ErrSuperseded
	}
	if err := c.validateExpiry(id, hosts, req.ExpireRoutes); err != nil {
		return err
	}
	if h := c.holds[id]; h != nil {
		if !slices.Equal(h.hosts, hosts) {
			return errorf(ErrConflict, "hold %q already holds %v; release it first", id, h.hosts)
		}
		if err := h.renew(lease, req.ExpireRoutes); err != nil {
			return err
		}
		c.keepHolds()
		return nil
	}
	var lanes []*lane
	for _, host := range hosts {
		if _, routed := c.table.Routes[host]; !routed {
			return errorf(ErrNotFound, "hold %q: no route for host %q", id, host)
		}
		if other := c.holderOf(host); other != "" {
			return errorf(ErrConflict, "hold %q: host %s is already held by %q", id, host, other)
		}
		lanes = append(lanes, c.lanes[host])
	}
	h := newHold(id, hosts, lanes, &c.room, &c.tasks)
	h.grace = time.Duration(req.GraceMS) * time.Millisecond
	c.holds[id] = h
	h.begin(lease, req.ExpireRoutes, func() { c.expire(h) })
	c.keepHolds()
	c.lookAgain() // who waits for an endpoint waits in this hold from now on
	return nil
}

// validateExpiry: where requests go at the end of a lease must be there. c.mu is held.
func (c *control) validateExpiry(id string, hosts []string, routes map[string]string) error {
	for host, pool := range routes {
		if !slices.Contains(hosts, host) {
			return errorf(ErrInvalid, "hold %q: expire_routes names host %q, which it does not hold", id, host)
		}
		if _, ok := c.table.Pools[pool]; !ok {
			return errorf(ErrInvalid, "hold %q: expire_routes sends %s to pool %q, which does not exist; set the pool first", id, host, pool)
		}
	}
	return nil
}

// expire ends a hold whose lease is over: first the routes are set that it names
// for this case, then its requests go. A table that cannot be saved is used all
// the same: whoever named the routes relies on nobody being let go elsewhere.
func (c *control) expire(h *hold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	routes, over := h.due()
	if !over {
		return
	}
	if len(routes) > 0 && !c.superseded {
		next := c.table.clone()
		for host, pool := range routes {
			next.Routes[host] = Route{Pool: pool}
		}
		if !reflect.DeepEqual(next, c.table) {
			next.Version++
			if err := c.state.save(next); err != nil {
				c.log.Error("a hold's lease ended; its routes are in use, but could not be saved: set them again", "hold", h.id, "error", err)
			}
			c.table = next
			c.publish()
			c.lookAgain()
		}
	}
	h.end(true, releasing)
	c.keepHolds()
}

func validateHold(id string, hosts []string, lease time.Duration) error {
	if err := validateName(id); err != nil {
		return err
	}
	if len(hosts) == 0 || len(hosts) > maxHosts {
		return errorf(ErrInvalid, "hold %q names %d hosts; name 1 to %d", id, len(hosts), maxHosts)
	}
	if lease <= 0 || lease > maxLease {
		return errorf(ErrInvalid, "hold %q: lease %s; it is above 0 and at most %s", id, lease, maxLease)
	}
	return nil
}

func (c *control) holderOf(host string) string {
	for id, h := range c.holds {
		if slices.Contains(h.hosts, host) && h.active() {
			return id
		}
	}
	return ""
}

// Release ends a hold and forgets it; its requests go, oldest first, where the
// table points now.
func (c *control) Release(id string) (Held, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.holds[id]
	if h == nil {
		return Held{}, errorf(ErrNotFound, "no hold %q", id)
	}
	delete(c.holds, id)
	held := h.end(false, releasing)
	c.keepHolds()
	return held, nil
}

func (c *control) hold(id string) (*hold, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.holds[id]
	if h == nil {
		return nil, errorf(ErrNotFound, "no hold %q", id)
	}
	return h, nil
}
