package sitetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

func abilities(t *testing.T, b *bench) {
	a := b.site.Abilities()
	if a.Isolation == "" {
		t.Error("the site does not say how it isolates")
	}
	if _, ok := b.site.(site.Relayer); ok != a.Relay {
		t.Errorf("it says Relay %v, and implements Relayer: %v", a.Relay, ok)
	}
}

func applyMakes(t *testing.T, b *bench) {
	e := b.observe()
	declared := b.Landscape.Environments[0]
	if e.Name != declared.Name || e.Network != declared.Network {
		t.Errorf("got %s %v, declared %s %v", e.Name, e.Network, declared.Name, declared.Network)
	}
	for _, d := range b.Landscape.Databases {
		b.eventually("database "+d.Name+" is ready", func() bool {
			return slices.ContainsFunc(b.observe().Databases, func(o site.Database) bool {
				return o.Name == d.Name && o.Ready && declared.Network.Contains(o.Address.Addr())
			})
		})
	}
	if _, err := b.site.Observe(b.ctx, b.other); !errors.Is(err, site.ErrNotFound) {
		t.Errorf("the environment that was not applied: %v", err)
	}
}

func applyAgain(t *testing.T, b *bench) {
	b.launch(1, 2)
	b.shift(fleet.Weights{1: 1})
	before := b.instances(1, fleet.Ready)
	b.ok(b.site.Apply(b.ctx, b.Landscape, b.environment))
	if after := b.instances(1, fleet.Ready); !slices.Equal(before, after) {
		t.Errorf("instances were %v, are %v", before, after)
	}
	if w := b.weights(); len(w) != 1 || w[1] == 0 {
		t.Errorf("weights are %v", w)
	}
}

func applyLeavesDatabases(t *testing.T, b *bench) {
	if len(b.Landscape.Databases) == 0 {
		t.Skip("the landscape declares none")
	}
	fewer := *b.Landscape
	fewer.Databases = nil
	fewer.Services = nil
	for _, s := range b.Landscape.Services {
		s.Env, s.Needs = nil, slices.DeleteFunc(slices.Clone(s.Needs), func(r landscape.Ref) bool { return r.Kind == "database" })
		fewer.Services = append(fewer.Services, s)
	}
	b.ok(b.site.Apply(b.ctx, &fewer, b.environment))
	for _, d := range b.Landscape.Databases {
		if !slices.ContainsFunc(b.observe().Databases, func(o site.Database) bool { return o.Name == d.Name }) {
			t.Errorf("database %s is gone, or not reported", d.Name)
		}
	}
}

func applyUndeclared(t *testing.T, b *bench) {
	err := b.site.Apply(b.ctx, b.Landscape, "undeclared")
	if !errors.Is(err, site.ErrNotFound) && !errors.Is(err, site.ErrInvalid) {
		t.Errorf("error is %v", err)
	}
}

func observeNothing(_ *testing.T, b *bench) {
	_, err := b.site.Observe(b.ctx, b.other)
	b.want("declared, not applied", err, site.ErrNotFound)
	_, err = b.site.Observe(b.ctx, "undeclared")
	b.want("undeclared", err, site.ErrNotFound)
}

func remove(t *testing.T, b *bench) {
	b.launch(1, 1)
	b.shift(fleet.Weights{1: 1})
	b.ok(b.site.Apply(b.ctx, b.Landscape, b.other))
	for range 2 {
		b.ok(b.site.Remove(b.ctx, b.environment))
		_, err := b.site.Observe(b.ctx, b.environment)
		b.want("observed after its removal", err, site.ErrNotFound)
	}
	b.want("launched after its removal", b.site.Launch(b.ctx, b.release(1, 1, b.Good)), site.ErrNotFound)
	if _, err := b.site.Observe(b.ctx, b.other); err != nil {
		t.Errorf("the other environment went too: %v", err)
	}
	b.ok(b.site.Remove(b.ctx, "undeclared"))
	b.ok(b.site.Apply(b.ctx, b.Landscape, b.environment))
	if f := b.fleet(); len(f.Instances) > 0 || len(b.weights()) > 0 {
		t.Errorf("made again, it still has %+v", f)
	}
	b.launch(1, 1)
}

// cancellation calls everything with a context that has ended, then lets one
// end while an image that never gets ready is waited for.
func cancellation(t *testing.T, b *bench) {
	b.launch(1, 1)
	b.shift(fleet.Weights{1: 1})
	over, cancel := context.WithCancel(b.ctx)
	cancel()
	for name, call := range map[string]func(context.Context) error{
		"Apply":   func(ctx context.Context) error { return b.site.Apply(ctx, b.Landscape, b.environment) },
		"Observe": func(ctx context.Context) error { _, err := b.site.Observe(ctx, b.environment); return err },
		"Launch":  func(ctx context.Context) error { return b.site.Launch(ctx, b.release(2, 1, b.Bad)) },
		"Shift": func(ctx context.Context) error {
			return b.site.Shift(ctx, b.environment, b.service, fleet.Weights{1: 1})
		},
		"Drain":  func(ctx context.Context) error { return b.site.Drain(ctx, b.environment, b.service, 9) },
		"Retire": func(ctx context.Context) error { return b.site.Retire(ctx, b.environment, b.service, 9) },
	} {
		soon(t, name, func() { _ = call(over) })
	}
	short, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer cancel()
	soon(t, "Launch of an image that never gets ready", func() {
		if err := b.site.Launch(short, b.release(3, 1, b.Bad)); err == nil {
			t.Error("it claims to be ready")
		}
	})
	if ready := b.instances(1, fleet.Ready); len(ready) != 1 {
		t.Errorf("the release that serves has ready instances %v", ready)
	}
	for number := 2; number <= 3; number++ {
		b.ok(b.site.Retire(b.ctx, b.environment, b.service, number))
	}
}

func soon(t *testing.T, what string, call func()) {
	t.Helper()
	const limit = 5 * time.Second
	started := time.Now()
	call()
	if took := time.Since(started); took > limit {
		t.Errorf("%s returned %v after its context had ended", what, took)
	}
}
