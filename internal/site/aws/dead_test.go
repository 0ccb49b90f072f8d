package aws_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/rollout"
	"godwit/internal/site/aws/awsfake"
)

// TestMendingRollout: the release that serves is broken, one of its instances or
// all, and no replacement gets healthy. What mends it is not kept waiting by that.
func TestMendingRollout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to fleet.Release
		ended    int
		dead     bool
	}{
		"one of two, which nothing reaches": {unreached(1, good), unreached(2, next), 1, false},
		"all, which nothing reaches":        {unreached(1, good), unreached(2, next), 2, true},
		"all, which load balancers ask":     {release(1, good), release(2, next), 0, true}, // these hear it at once
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st, service := newUnreached(t), c.from.Service
				st.cloud.SetBehaviour(st.images[service+" "+good], awsfake.Behaviour{Unhealthy: true})
				for _, i := range st.fleetOf(service).Instances[:c.ended] {
					if err := st.cloud.Kill(i.ID); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(4 * time.Minute) // what is sick is known, replacements are there and held
				p, begun := st.planned(c.from, c.to), time.Now()
				out, err := st.run(p)
				if p.Dead != c.dead || err != nil || out.Status != journal.Done {
					t.Errorf("dead %v: %+v, %v", p.Dead, out, err)
				}
				// Launched in some minutes, watched for six, drained for up to five.
				if took := time.Since(begun); took > 20*time.Minute {
					t.Errorf("it took %v", took)
				}
				f := st.fleetOf(service)
				if len(f.Weights) != 1 || f.Weights[2] == 0 {
					t.Errorf("weights %v", f.Weights)
				}
				for _, i := range f.Instances {
					if i.Release != 2 || i.State != fleet.Ready {
						t.Errorf("%+v", i)
					}
				}
			})
		})
	}
}

// planned is a rollout as godwit plans it: from what the site says now.
func (st *stage) planned(from, to fleet.Release) rollout.Plan {
	st.t.Helper()
	p, err := rollout.NewPlan(context.Background(), st.newSite(), from, to, plan(to.Image).Options)
	if err != nil {
		st.t.Fatal(err)
	}
	return p
}

func (st *stage) fleetOf(service string) fleet.Fleet {
	st.t.Helper()
	e, err := st.newSite().Observe(context.Background(), "test")
	if err != nil {
		st.t.Fatal(err)
	}
	for _, f := range e.Fleets {
		if f.Service == service {
			return f
		}
	}
	return fleet.Fleet{}
}
