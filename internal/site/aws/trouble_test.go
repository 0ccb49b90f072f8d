package aws_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/rollout"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/convention"
)

// TestNoMachines: whatever AWS says instead of launching an instance reaches the
// user with its mend, and what served goes on serving.
func TestNoMachines(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*stage)
		kind aws.Kind
		says string
	}{
		"quota":           {func(st *stage) { st.cloud.SetQuota(4) }, aws.KindQuota, "vCPU limit of 4"},
		"no such machine": {func(st *stage) { st.cloud.SetOffered("t3.small", "eu-central-1a", "eu-central-1c") }, aws.KindOffering, "eu-central-1b"},
	} {
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, openBook(t), awsfake.Options{})
			c.set(st)
			stop := st.load()
			out, err := st.run(plan(next))
			_, failed := stop()
			var said *aws.Error
			if out.Status != journal.Undone || !errors.As(err, &said) || said.Kind != c.kind || !strings.Contains(said.Error(), c.says) || said.Mend == "" {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			if len(failed) > 0 {
				t.Errorf("%s: failed: %v", name, failed)
			}
			st.whole(1, good, name)
		})
	}
}

// TestShortage: a zone without machines is made up for by the others; without
// any, patience ends, and AWS's words are in the error.
func TestShortage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, openBook(t), awsfake.Options{})
		st.cloud.SetShortage("eu-central-1a", true)
		if out, err := st.run(plan(next)); out.Status != journal.Done {
			t.Errorf("%+v, %v", out, err)
		}
		st.whole(2, next, "one zone is short")
		for _, zone := range zones() {
			st.cloud.SetShortage(zone, true)
		}
		err := st.newSite().Launch(context.Background(), release(3, good))
		if !errors.Is(err, site.ErrUnready) || !strings.Contains(err.Error(), "sufficient t3.small capacity") {
			t.Errorf("all zones are short: %v", err)
		}
	})
}

// TestRefreshIsWaitedFor: while AWS itself replaces instances nobody rolls out;
// afterwards anybody may.
func TestRefreshIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, openBook(t), awsfake.Options{})
		started, err := st.cloud.AutoScaling().StartInstanceRefresh(context.Background(), &autoscaling.StartInstanceRefreshInput{
			AutoScalingGroupName: sdk.String(st.holding("1").Name)})
		if err != nil {
			t.Fatal(err)
		}
		err = st.newSite().Launch(context.Background(), release(2, next))
		if !errors.Is(err, site.ErrInvalid) || !strings.Contains(err.Error(), *started.InstanceRefreshId) {
			t.Errorf("%v", err)
		}
		time.Sleep(10 * time.Minute) // it is over
		if err := st.newSite().Launch(context.Background(), release(2, next)); err != nil {
			t.Errorf("after the refresh: %v", err)
		}
	})
}

// TestSecondRollout: two at the same time. The lease refuses the second; and
// without it, there is no place left for a third release.
func TestSecondRollout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, ctx := newStage(t, openBook(t), awsfake.Options{}), context.Background()
		bucket := convention.Account{Landscape: "bistro", AccountID: "123456789012", Region: "eu-central-1"}.StateBucket()
		if _, err := st.cloud.S3().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
		first, err := st.newSite().Ledger(ctx, "test", "till", "first", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		second, err := st.newSite().Ledger(ctx, "test", "till", "second", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		var held *aws.HeldError
		if err := first.Acquire(ctx); err != nil {
			t.Fatal(err)
		}
		if err := second.Acquire(ctx); !errors.As(err, &held) || held.Holder != "first" {
			t.Errorf("the second holder: %v", err)
		}

		var both sync.WaitGroup
		both.Go(func() {
			if out, err := st.run(plan(next)); out.Status != journal.Done {
				t.Errorf("the first rollout: %+v, %v", out, err)
			}
		})
		both.Go(func() {
			time.Sleep(3 * time.Minute) // the first one has launched by then
			third := plan(good)
			third.To = release(3, good)
			other := *st
			other.id += "-second"
			out, err := other.run(third)
			if out.Status != journal.Undone || out.Failed != "check" && out.Failed != "launch" {
				t.Errorf("the second rollout: %+v, %v", out, err)
			}
		})
		both.Wait()
		st.whole(2, next, "two at the same time")
	})
}

// TestDrainLags: the health that is described right after a deregistration may
// be that from before: a drain must not take it for drained.
func TestDrainLags(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, ctx := newStage(t, openBook(t), awsfake.Options{}), context.Background()
		s := st.newSite()
		r, err := st.cloud.Begin(scope.LoadBalancer(convention.Public, ""), host, "/")
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{s.Launch(ctx, release(2, next)), s.Shift(ctx, "test", "till", fleet.Weights{2: 100})} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Observe(ctx, "test"); err != nil {
			t.Fatal(err)
		}
		st.cloud.SetLag(3 * time.Second)
		if _, err := s.Observe(ctx, "test"); err != nil { // what the next Describe will repeat
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := s.Drain(short, "test", "till", 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drained with a request in flight: %v", err)
		}
		if err := r.End(); err != nil {
			t.Error(err)
		}
		if err := s.Drain(ctx, "test", "till", 1); err != nil {
			t.Error(err)
		}
	})
}

// TestHeldByHook: nothing completes the drain hook; the instance ends when the
// hook times out, and Retire waits for that.
func TestHeldByHook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, ctx := newStage(t, openBook(t), awsfake.Options{}), context.Background()
		st.cloud.SetBehaviour(st.images["till "+good], awsfake.Behaviour{HoldsHook: true})
		s := st.newSite()
		for _, err := range []error{s.Launch(ctx, release(2, next)), s.Shift(ctx, "test", "till", fleet.Weights{2: 100}), s.Drain(ctx, "test", "till", 1)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		if err := s.Retire(ctx, "test", "till", 1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 5*time.Minute || took > 7*time.Minute {
			t.Errorf("the hook times out after five minutes, and Retire took %v", took)
		}
		st.whole(2, next, "held by the hook")
	})
}

// TestInstanceDies while the new release is judged: it is refused.
func TestInstanceDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, openBook(t), awsfake.Options{})
		go func() {
			time.Sleep(4 * time.Minute)
			e, err := st.newSite().Observe(context.Background(), "test")
			if err != nil {
				t.Error(err)
				return
			}
			for _, f := range e.Fleets {
				for _, i := range f.Instances {
					if i.Release == 2 {
						if err := st.cloud.Kill(i.ID); err != nil {
							t.Error(err)
						}
						return
					}
				}
			}
			t.Error("release 2 has no instance after four minutes")
		}()
		out, err := st.run(plan(next))
		var refused *rollout.RefusedError
		if out.Status != journal.Undone || out.Failed != "judge" || !errors.As(err, &refused) {
			t.Errorf("%+v, %v", out, err)
		}
		st.whole(1, good, "an instance died")
	})
}
