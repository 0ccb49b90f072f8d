// Package sitetest is the contract of package site as one suite of tests that
// every site passes. A site adds a Harness and one call of Run; one with fronts
// also calls RunFronted. Only tests import it.
package sitetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

// Harness is what a site brings to the suite.
type Harness struct {
	// New returns a site without the environments of the landscape. It may
	// skip the test where the site cannot run.
	New func(t *testing.T) site.Site
	// Landscape declares at least two environments and one service; the suite
	// uses the first of them. A database is welcome.
	Landscape *landscape.Landscape
	// Release is a template: port, environment variables, health. The suite
	// fills in the rest.
	Release fleet.Release
	// Good and Bad are digests of images; instances of Bad never become ready.
	Good, Bad string
	// Request, when given, sends one request to a service and returns an error
	// unless it was served.
	Request func(ctx context.Context, s site.Site, environment, service string) error
	// PerRequest is how many the site counts of one Request; 1 when 0.
	PerRequest int
	// Begin, when given, sends a request that stays in flight until end is called.
	Begin func(t *testing.T, s site.Site, environment, service string) (end func())
	// Die and Silence, when given, end an environment as the death of what it runs
	// in does, and make that answer nobody.
	Die, Silence func(t *testing.T, s site.Site, environment string)
	// Patience bounds every call; 30 seconds when 0.
	Patience time.Duration
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	h = h.filled()
	if len(h.Landscape.Environments) < 2 || len(h.Landscape.Services) < 1 {
		t.Fatal("the harness's landscape needs two environments and a service")
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"abilities", abilities},
		{"apply makes the environment", applyMakes},
		{"apply again changes nothing", applyAgain},
		{"apply leaves undeclared databases", applyLeavesDatabases},
		{"apply needs a declared environment", applyUndeclared},
		{"observe needs an environment", observeNothing},
		{"launch brings up count", launchCount},
		{"launch again launches no more", launchAgain},
		{"launch reports unready", launchUnready},
		{"launch needs environment and service", launchNowhere},
		{"shift sets weights", shiftWeights},
		{"shift refuses invalid weights", shiftInvalid},
		{"shift is atomic", shiftAtomic},
		{"traffic is counted by release", trafficCounted},
		{"drain and retire", drainRetire},
		{"drain and retire refuse weight", drainRetireWeight},
		{"drain waits for requests in flight", drainWaits},
		{"a service that is no longer declared", withdraw},
		{"what has died comes back", die},
		{"what is silent is replaced", fallSilent},
		{"remove", remove},
		{"calls end with their context", cancellation},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newBench(t, h)) })
	}
}

func (h Harness) filled() Harness {
	h.Patience = cmp.Or(h.Patience, 30*time.Second)
	h.PerRequest = cmp.Or(h.PerRequest, 1)
	return h
}

// bench is a site with one applied environment.
type bench struct {
	Harness
	t           *testing.T
	ctx         context.Context
	site        site.Site
	environment string
	other       string // declared, not applied
	service     string
}

func newBench(t *testing.T, h Harness) *bench {
	t.Helper()
	b := &bench{Harness: h, t: t, site: h.New(t), environment: h.Landscape.Environments[0].Name,
		other: h.Landscape.Environments[1].Name, service: h.Landscape.Services[0].Name}
	ctx, cancel := context.WithTimeout(t.Context(), 10*h.Patience)
	t.Cleanup(cancel)
	b.ctx = ctx
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), h.Patience)
		defer cancel()
		for _, name := range []string{b.environment, b.other} {
			if err := b.site.Remove(ctx, name); err != nil {
				t.Errorf("cleaning up: %v", err)
			}
		}
	})
	b.ok(b.site.Apply(b.ctx, h.Landscape, b.environment))
	return b
}

func (b *bench) release(number, count int, image string) fleet.Release {
	r := b.Release
	r.Environment, r.Service, r.Number, r.Count, r.Image = b.environment, b.service, number, count, image
	return r
}

// launch launches a good release.
func (b *bench) launch(number, count int) {
	b.t.Helper()
	b.ok(b.site.Launch(b.ctx, b.release(number, count, b.Good)))
}

func (b *bench) shift(weights fleet.Weights) {
	b.t.Helper()
	b.ok(b.site.Shift(b.ctx, b.environment, b.service, weights))
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) want(what string, err, want error) {
	b.t.Helper()
	if !errors.Is(err, want) {
		b.t.Errorf("%s: error is %v, want %v", what, err, want)
	}
}

func (b *bench) observe() site.Environment {
	b.t.Helper()
	e, err := b.site.Observe(b.ctx, b.environment)
	b.ok(err)
	return e
}

// fleet is the service's fleet; empty when nothing was ever launched.
func (b *bench) fleet() fleet.Fleet {
	b.t.Helper()
	for _, f := range b.observe().Fleets {
		if f.Service == b.service {
			return f
		}
	}
	return fleet.Fleet{}
}

// instances are the ids of the instances of a release in a state, sorted.
func (b *bench) instances(number int, state fleet.State) []string {
	b.t.Helper()
	var ids []string
	for _, i := range b.fleet().Instances {
		if i.Release == number && i.State == state {
			ids = append(ids, i.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// weights are those above 0.
func (b *bench) weights() fleet.Weights {
	b.t.Helper()
	w := fleet.Weights{}
	for number, weight := range b.fleet().Weights {
		if weight > 0 {
			w[number] = weight
		}
	}
	return w
}

// eventually waits until a condition holds.
func (b *bench) eventually(what string, holds func() bool) {
	b.t.Helper()
	deadline := time.After(b.Patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("waited %v: %s", b.Patience, what)
		}
	}
}
