package gateway

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"
)

// keptHold is a hold as the next gateway finds it, when this one is killed. Without
// it that gateway would send requests to a side that takes no writes.
type keptHold struct {
	ID           string            `json:"id"`
	Hosts        []string          `json:"hosts"`
	Until        time.Time         `json:"until"` // end of the lease
	ExpireRoutes map[string]string `json:"expire_routes,omitempty"`
	GraceMS      int64             `json:"grace_ms,omitempty"`
}

const (
	// missedBy is how long before a lease's end a gateway has to be there to have
	// heard what was said of it: whether it was renewed, and where its requests go.
	missedBy = time.Second
	// comeback is what a hold gets whose end a gateway has missed. The engine, which
	// could not tell it anything, tries again every three seconds at least; until
	// then the end of the lease may lead to a side that has given the truth away.
	comeback = 4 * time.Second
)

// holdsFile is beside the table. It has to outlive the process, not the machine:
// with that the connections of who waits end too. So it is not synced, and a hold
// costs no time of a disk.
func (c *control) holdsFile() string { return c.state.path + ".holds" }

// keepHolds writes down which holds are active. One that cannot be kept holds all
// the same, as long as this process lives. c.mu is held.
func (c *control) keepHolds() {
	if c.superseded {
		return // the file is another gateway's
	}
	kept := []keptHold{}
	for _, id := range slices.Sorted(maps.Keys(c.holds)) {
		if k, active := c.holds[id].kept(); active {
			kept = append(kept, k)
		}
	}
	text, err := json.Marshal(kept)
	if err == nil {
		temp := c.holdsFile() + ".tmp"
		if err = os.WriteFile(temp, text, 0o600); err == nil {
			err = os.Rename(temp, c.holdsFile())
		}
	}
	if err != nil {
		c.log.Error("the active holds could not be written down: they end with this process", "error", err)
	}
}

// resumeHolds holds what a gateway that was killed has held. c is not shared yet.
func (c *control) resumeHolds() {
	text, err := os.ReadFile(c.holdsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var kept []keptHold
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		c.log.Error("the holds of the last gateway cannot be read: their requests are let go", "error", err)
		return
	}
	for _, k := range kept {
		left := time.Until(k.Until)
		if left < missedBy {
			left = comeback
		}
		var lanes []*lane
		for _, host := range k.Hosts {
			if l := c.lanes[host]; l != nil {
				lanes = append(lanes, l)
			}
		}
		h := newHold(k.ID, k.Hosts, lanes, &c.room, &c.tasks)
		h.grace = time.Duration(k.GraceMS) * time.Millisecond
		c.holds[k.ID] = h
		h.begin(left, k.ExpireRoutes, func() { c.expire(h) })
		c.log.Warn("a hold of the last gateway goes on", "hold", k.ID, "for", left)
	}
}

// kept is what the next gateway has to know of a hold that is active.
func (h *hold) kept() (k keptHold, active bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return keptHold{h.id, h.hosts, h.deadline, h.expiry, h.grace.Milliseconds()}, h.phase == holding
}
