package memory

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/sitetest"
)

func bistro() *landscape.Landscape {
	return &landscape.Landscape{Name: "bistro",
		Environments: []landscape.Environment{
			{Name: "test", Network: netip.MustParsePrefix("10.10.0.0/16")}, {Name: "stage", Network: netip.MustParsePrefix("10.20.0.0/16")}},
		Services:  []landscape.Service{{Name: "till", Port: 8080}},
		Databases: []landscape.Database{{Name: "till", Engine: "postgres"}}}
}

func TestContract(t *testing.T) {
	t.Parallel()
	sitetest.Run(t, sitetest.Harness{
		New: func(*testing.T) site.Site {
			s := New()
			s.SetUnready("sha256:bad")
			return s
		},
		Landscape: bistro(), Release: fleet.Release{Port: 8080}, Good: "sha256:good", Bad: "sha256:bad",
		Request: func(_ context.Context, s site.Site, environment, service string) error {
			q, err := s.(*Site).Begin(environment, service)
			if err == nil {
				q.End(false, time.Millisecond)
			}
			return err
		},
		Begin: func(t *testing.T, s site.Site, environment, service string) func() {
			q, err := s.(*Site).Begin(environment, service)
			if err != nil {
				t.Fatal(err)
			}
			return func() { q.End(false, time.Millisecond) }
		},
		Die:     func(_ *testing.T, s site.Site, environment string) { s.(*Site).End(environment) },
		Silence: func(_ *testing.T, s site.Site, environment string) { s.(*Site).Silence(environment) },
	})
}

func TestWeightsChooseTheRelease(t *testing.T) {
	t.Parallel()
	s, ctx := New(), t.Context()
	for _, err := range []error{
		s.Apply(ctx, bistro(), "test"),
		s.Launch(ctx, fleet.Release{Environment: "test", Service: "till", Number: 1, Count: 1}),
		s.Launch(ctx, fleet.Release{Environment: "test", Service: "till", Number: 2, Count: 1}),
		s.Shift(ctx, "test", "till", fleet.Weights{1: 90, 2: 10}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	served := map[int]int{}
	for range 1000 {
		q, err := s.Begin("test", "till")
		if err != nil {
			t.Fatal(err)
		}
		served[q.Release]++
		q.End(false, 0)
	}
	if served[1] != 900 || served[2] != 100 {
		t.Errorf("served %v", served)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	s, errBroken := New(), errors.New("broken")
	s.SetFail(func(c Call) error {
		if c.Method == "Apply" {
			return errBroken
		}
		return nil
	})
	if err := s.Apply(t.Context(), bistro(), "test"); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
	if _, err := s.Observe(t.Context(), "test"); !errors.Is(err, site.ErrNotFound) {
		t.Errorf("a failed call did something: %v", err)
	}
	s.SetLatency(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Remove(ctx, "test"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
