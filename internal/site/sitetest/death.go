package sitetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"godwit/internal/fleet"
	"godwit/internal/site"
)

// die: an environment that was killed is dead, and comes back as it was. What was
// never applied, or was removed, has no pulse and is not brought back.
func die(t *testing.T, b *bench) {
	r, ok := b.site.(site.Reviver)
	if !ok || b.Die == nil {
		t.Skip("its environments do not die as a whole")
	}
	b.launch(1, 2)
	b.shift(fleet.Weights{1: 1})
	b.ok(b.site.Apply(b.ctx, b.Landscape, b.other))
	b.ok(r.Pulse(b.ctx, b.environment))
	b.Die(t, b.site, b.environment)
	b.eventually("it is dead", func() bool { return errors.Is(r.Pulse(b.ctx, b.environment), site.ErrDead) })
	b.ok(r.Pulse(b.ctx, b.other))
	if d := b.observe().Databases; len(d) > 0 && d[0].Ready {
		t.Error("the database of a dead environment is ready")
	}
	if dead := b.instances(1, fleet.Dead); len(dead) != 2 {
		t.Errorf("instances %v are dead", dead)
	}
	for range 2 { // the second has nothing left to do
		b.ok(r.Revive(b.ctx, b.environment))
		b.ok(r.Pulse(b.ctx, b.environment))
	}
	b.eventually("its databases, which recover first, are ready", func() bool {
		return !slices.ContainsFunc(b.observe().Databases, func(d site.Database) bool { return !d.Ready })
	})
	b.eventually("both instances serve again", func() bool { return len(b.instances(1, fleet.Ready)) == 2 })
	if w := b.weights(); w[1] == 0 {
		t.Errorf("weights are %v", w)
	}
	b.ok(b.site.Remove(b.ctx, b.environment))
	b.want("pulse of what was removed", r.Pulse(b.ctx, b.environment), site.ErrNotFound)
	b.want("revived after its removal", r.Revive(b.ctx, b.environment), site.ErrNotFound)
}

// fallSilent: an environment that answers nobody is seen so within the limit, and
// replaced, whoever waits for its answer.
func fallSilent(t *testing.T, b *bench) {
	r, ok := b.site.(site.Reviver)
	if !ok || b.Silence == nil {
		t.Skip("its environments do not fall silent")
	}
	b.launch(1, 2)
	b.shift(fleet.Weights{1: 1})
	b.Silence(t, b.site, b.environment)
	waits, cancel := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	go func() { // it holds whatever a change of the environment holds
		ended <- b.site.Shift(waits, b.environment, b.service, fleet.Weights{1: 1})
	}()
	b.want("pulse of what is silent", r.Pulse(b.ctx, b.environment), site.ErrSilent)
	b.ok(r.Revive(b.ctx, b.environment))
	cancel()
	<-ended
	b.ok(r.Pulse(b.ctx, b.environment))
	b.eventually("both instances serve again", func() bool {
		return len(b.instances(1, fleet.Ready)) == 2
	})
}
