package aws_test

import (
	"context"
	"testing"
	"testing/synctest"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/convention"
)

// TestAlign: a rule that comes after the first rollout is written for blue, and
// the release serves in green. Its host has to be served all the same, and a
// rollout that is under way is left alone.
func TestAlign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, nil, awsfake.Options{})
		s, ctx := st.newSite(), context.Background()
		l := bistro()
		l.Ingresses = append(l.Ingresses, landscape.Ingress{Name: "bar", Host: "bar.bistro.example", Service: "till"})
		balancer := convention.Scope{Landscape: "bistro", Environment: "test"}.LoadBalancer(convention.Public, "")
		ask := func() error { return st.cloud.Request(ctx, balancer, "bar.bistro.example", "/") }

		// As `godwit aws apply` does: Terraform alone, then Align.
		if err := fakeProvisioner(st.cloud).Apply(ctx, l, "test"); err != nil {
			t.Fatal(err)
		}
		if ask() == nil {
			t.Fatal("the new host is served without Align: this test proves nothing")
		}
		for range 2 {
			if err := s.Align(ctx, "test"); err != nil {
				t.Fatal(err)
			}
			if err := ask(); err != nil {
				t.Errorf("the new host is not served: %v", err)
			}
		}

		if err := s.Launch(ctx, release(2, next)); err != nil {
			t.Fatal(err)
		}
		want := fleet.Weights{1: 90, 2: 10}
		if err := s.Shift(ctx, "test", "till", want); err != nil {
			t.Fatal(err)
		}
		if err := s.Align(ctx, "test"); err != nil {
			t.Fatal(err)
		}
		e, err := s.Observe(ctx, "test")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range e.Fleets {
			if f.Service == "till" && (f.Weights[1] != 90 || f.Weights[2] != 10) {
				t.Errorf("weights %v in the middle of a rollout, want %v", f.Weights, want)
			}
		}
	})
}
