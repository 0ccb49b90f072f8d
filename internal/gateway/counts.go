package gateway

import (
	"maps"
	"sync"
)

// counts are what the gateway did to clients for the sake of others.
type counts struct {
	mu  sync.Mutex
	all Disturbed

	entrance *entrance
}

func (c *counts) disturbed(f Flight, fate error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fate == errRecalled {
		c.all.Recalled++
		return
	}
	if c.all.Ended == nil {
		c.all.Ended = map[string]int64{}
	}
	c.all.Ended[f.State]++
}

func (c *counts) now() Disturbed {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.all
	d.Ended = maps.Clone(d.Ended)
	if c.entrance != nil {
		d.TurnedAway = c.entrance.refused.Load()
	}
	return d
}
