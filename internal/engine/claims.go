package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"godwit/internal/api"
)

// claims let one change of an environment happen at a time: a rollout during a
// cutover would move what the cutover is waiting for.
type claims struct {
	guard sync.Mutex
	held  []*claim
	freed chan struct{} // closed, and made new, when one is given back
}

// claim is the right to change environments; no environments are all.
type claim struct {
	name         string
	environments []string
	brief        bool                    // a loop's, soon given back: it is waited for
	end          context.CancelCauseFunc // nil: nobody else may end it
	service      string                  // that is rolled out, where it may be ended
}

func (a *claim) touches(b *claim) bool {
	if len(a.environments) == 0 || len(b.environments) == 0 {
		return true
	}
	return slices.ContainsFunc(a.environments, func(name string) bool { return slices.Contains(b.environments, name) })
}

// claim gets a right, which the caller gives back. Errors: a Busy Failure that names
// what is under way.
func (c *claims) claim(ctx context.Context, want *claim) error {
	for {
		blocker, freed := c.take(want)
		if blocker == nil {
			return nil
		}
		if !blocker.brief || want.brief {
			return api.Fail(api.Busy, "%s is under way; wait for it, or end it with Ctrl-C where it runs, then run this again", blocker.name)
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", blocker.name, context.Cause(ctx))
		}
	}
}

// take takes a right, unless another has one that it touches.
func (c *claims) take(want *claim) (blocker *claim, freed <-chan struct{}) {
	c.guard.Lock()
	defer c.guard.Unlock()
	if c.freed == nil {
		c.freed = make(chan struct{})
	}
	for _, have := range c.held {
		if have.touches(want) && (blocker == nil || blocker.brief) {
			blocker = have
		}
	}
	if blocker == nil {
		c.held = append(c.held, want)
	}
	return blocker, c.freed
}

// isBusy: a right was not to be had.
func isBusy(err error) bool { return err != nil && api.AsFailure(err).Code == api.Busy }

// idle waits until no operation is under way.
func (c *claims) idle(ctx context.Context) error {
	all := &claim{name: "nothing"}
	for {
		c.guard.Lock()
		freed, busy := c.freed, slices.ContainsFunc(c.held, all.touches)
		c.guard.Unlock()
		if !busy {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *claims) giveBack(have *claim) {
	c.guard.Lock()
	defer c.guard.Unlock()
	c.held = slices.DeleteFunc(c.held, func(one *claim) bool { return one == have })
	close(c.freed)
	c.freed = make(chan struct{})
}

// endYielding ends what rolls a service out in an environment, and waits until it has
// given its right back.
func (c *claims) endYielding(ctx context.Context, environment, service string, why error) error {
	about := &claim{environments: []string{environment}}
	for {
		c.guard.Lock()
		freed := c.freed
		var ending []*claim
		for _, have := range c.held {
			if have.end != nil && have.service == service && have.touches(about) {
				ending = append(ending, have)
			}
		}
		c.guard.Unlock()
		if len(ending) == 0 {
			return nil
		}
		for _, one := range ending {
			one.end(why)
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return fmt.Errorf("%s was told to end, and has not yet: %w", ending[0].name, context.Cause(ctx))
		}
	}
}

// underWay names the operations that run; "" when none does.
func (c *claims) underWay() string {
	c.guard.Lock()
	defer c.guard.Unlock()
	var names []string
	for _, have := range c.held {
		names = append(names, have.name)
	}
	return strings.Join(names, ", ")
}

// busy reports whether an operation is under way.
func (c *claims) busy() bool { return c.underWay() != "" }
