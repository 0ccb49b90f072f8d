package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/rollout"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/convention"
	"godwit/internal/store"
)

var scope = convention.Scope{Landscape: "bistro", Environment: "test"}

// stage is a cloud on which release 1 of the till serves, in a synctest bubble:
// minutes of AWS pass at once.
type stage struct {
	t      *testing.T
	cloud  *awsfake.Cloud
	images map[string]string
	book   *store.Store
	id     string
}

var runs atomic.Int64

// newSite is what another process has: clients, and nothing that it remembers.
func (st *stage) newSite() *aws.Site {
	return aws.New(fakeClients(st.cloud), aws.Options{Landscape: bistro(), Region: "eu-central-1", Provisioner: fakeProvisioner(st.cloud), Resolve: resolve,
		Poll: 5 * time.Second, Patience: 5 * time.Minute})
}

func newStage(t *testing.T, book *store.Store, o awsfake.Options) *stage {
	t.Helper()
	o.Timings = awsfake.Realistic
	st := &stage{t: t, cloud: awsfake.New(o), book: book, id: fmt.Sprint(runs.Add(1))}
	st.images = bake(t, st.cloud, fakeProvisioner(st.cloud), good, next, bad)
	s, ctx := st.newSite(), context.Background()
	for _, do := range []func() error{
		func() error { return s.Apply(ctx, bistro(), "test") },
		func() error { return s.Launch(ctx, release(1, good)) },
		func() error { return s.Shift(ctx, "test", "till", fleet.Weights{1: 100}) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func openBook(t *testing.T) *store.Store {
	t.Helper()
	book, err := store.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.Close() })
	return book
}

func plan(digest string) rollout.Plan {
	return rollout.Plan{Environment: "test", Service: "till", From: release(1, good), To: release(2, digest),
		Options: rollout.Options{Watch: 6 * time.Minute, Poll: 15 * time.Second, Launch: 12 * time.Minute, Drain: 5 * time.Minute}}
}

// limits are those of a journal whose steps take as long as AWS does.
func openJournal(b journal.Book) *journal.Journal {
	j := journal.Open(b)
	j.Limits = journal.Limits{Undo: 15 * time.Minute, Finish: 15 * time.Minute, Grace: 5 * time.Minute, Pause: time.Second, LongestPause: 20 * time.Second}
	return j
}

func (st *stage) run(p rollout.Plan) (journal.Outcome, error) {
	payload, err := json.Marshal(p)
	if err != nil {
		st.t.Fatal(err)
	}
	return openJournal(st.book).Run(context.Background(), journal.Run{ID: st.id, Kind: rollout.Kind, Subject: "test/till", Payload: payload},
		rollout.Steps(st.newSite(), p), nil)
}

// load sends a request a second through both load balancers until it is stopped,
// and tells which failed, except those that a behaviour fails on purpose.
func (st *stage) load() (stop func() (served int, failed []string)) {
	enough := make(chan struct{}) // no request is cut off: it would count as failed
	type result struct {
		served int
		failed []string
	}
	ended := make(chan result)
	go func() {
		var r result
		tick := time.NewTicker(time.Second / 2)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-enough:
				ended <- r
				return
			case <-tick.C:
			}
			balancer, name := scope.LoadBalancer(convention.Public, ""), host
			if n%2 == 1 {
				balancer, name = scope.LoadBalancer(convention.Internal, "till"), "till"
			}
			if err := st.cloud.Request(context.Background(), balancer, name, "/"); err != nil {
				r.failed = append(r.failed, err.Error())
				continue
			}
			r.served++
		}
	}()
	return func() (int, []string) {
		close(enough)
		r := <-ended
		return r.served, r.failed
	}
}

// whole: entirely that release, nothing of any other; its group is pinned to the
// number of the version that holds its image, in whatever rule requests come by.
func (st *stage) whole(number int, digest, when string) {
	st.t.Helper()
	st.cloud.SetFaults(awsfake.Faults{})
	st.cloud.SetLag(0)
	e, err := st.newSite().Observe(context.Background(), "test")
	if err != nil {
		st.t.Fatalf("%s: %v", when, err)
	}
	for _, f := range e.Fleets {
		if f.Service == "till" {
			st.serves(f, number, digest, when)
		}
	}
	st.pinned(number, digest, when)
}

func (st *stage) serves(f fleet.Fleet, number int, digest, when string) {
	st.t.Helper()
	for r, w := range f.Weights {
		if (w > 0) != (r == number) {
			st.t.Errorf("%s: weights %v, want all for release %d", when, f.Weights, number)
		}
	}
	if len(f.Releases) != 1 || f.Releases[0].Number != number || f.Releases[0].Image != digest {
		st.t.Errorf("%s: releases %+v", when, f.Releases)
	}
	ready := 0
	for _, i := range f.Instances {
		if i.Release != number {
			st.t.Errorf("%s: left over: %+v", when, i)
		}
		if i.State == fleet.Ready {
			ready++
		}
	}
	if ready < 2 {
		st.t.Errorf("%s: %d ready instances: %+v", when, ready, f.Instances)
	}
}

// pinned looks past the site, at what AWS itself says.
func (st *stage) pinned(number int, digest, when string) {
	st.t.Helper()
	out, err := st.cloud.AutoScaling().DescribeAutoScalingGroups(context.Background(), &autoscaling.DescribeAutoScalingGroupsInput{
		AutoScalingGroupNames: []string{scope.Group("till", convention.Blue), scope.Group("till", convention.Green)}})
	if err != nil {
		st.t.Fatal(err)
	}
	holding := 0
	for _, g := range out.AutoScalingGroups {
		held := ""
		for _, tag := range g.Tags {
			if sdk.ToString(tag.Key) == convention.TagRelease {
				held = sdk.ToString(tag.Value)
			}
		}
		if held != fmt.Sprint(number) {
			if n := len(g.Instances); n > 0 || held != "" {
				st.t.Errorf("%s: %s holds %q and has %d instances", when, *g.AutoScalingGroupName, held, n)
			}
			continue
		}
		holding++
		if v := sdk.ToString(g.LaunchTemplate.Version); strings.Contains(v, "$") {
			st.t.Errorf("%s: %s is pinned to %s", when, *g.AutoScalingGroupName, v)
		}
		for _, i := range g.Instances {
			if *i.LaunchTemplate.Version != *g.LaunchTemplate.Version || *i.ImageId != st.images["till "+digest] {
				st.t.Errorf("%s: instance %s has version %s and image %s, its group is pinned to %s", when, *i.InstanceId, *i.LaunchTemplate.Version, *i.ImageId, *g.LaunchTemplate.Version)
			}
		}
	}
	if holding != 1 {
		st.t.Errorf("%s: %d groups hold release %d", when, holding, number)
	}
}

func TestRolloutGood(t *testing.T) {
	t.Parallel()
	for _, shown := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, openBook(t), awsfake.Options{DrainShown: shown})
			stop := st.load()
			out, err := st.run(plan(next))
			served, failed := stop()
			if out.Status != journal.Done {
				t.Errorf("%+v, %v", out, err)
			}
			if len(failed) > 0 || served < 500 {
				t.Errorf("%d served, failed: %v", served, failed)
			}
			st.whole(2, next, fmt.Sprintf("good, drain shown %v", shown))
		})
	}
}

func TestRolloutNeverReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, openBook(t), awsfake.Options{})
		stop := st.load()
		out, err := st.run(plan(bad))
		served, failed := stop()
		if out.Status != journal.Undone || out.Failed != "launch" {
			t.Errorf("%+v, %v", out, err)
		}
		if len(failed) > 0 || served < 100 {
			t.Errorf("%d served, failed: %v", served, failed)
		}
		st.whole(1, good, "never ready")
	})
}

// TestRolloutErrors: three in ten requests to the new release fail. The judge
// sees it by what CloudWatch says a minute later.
func TestRolloutErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, openBook(t), awsfake.Options{})
		st.cloud.SetBehaviour(st.images["till "+next], awsfake.Behaviour{Serve: func(n int) (int, time.Duration) {
			if n%10 < 3 {
				return 500, 5 * time.Millisecond
			}
			return 200, 5 * time.Millisecond
		}})
		stop := st.load()
		out, err := st.run(plan(next))
		served, failed := stop()
		var refused *rollout.RefusedError
		if out.Status != journal.Undone || out.Failed != "judge" || !errors.As(err, &refused) {
			t.Errorf("%+v, %v", out, err)
		}
		for _, f := range failed {
			if !strings.HasPrefix(f, "500 from instance") {
				t.Errorf("a request failed that no instance failed: %s", f)
			}
		}
		if len(failed) == 0 || len(failed) > served/10 {
			t.Errorf("%d served, %d failed", served, len(failed))
		}
		st.whole(1, good, "30 % errors")
	})
}

// TestRolloutSlow: the new release answers, and takes twenty times as long.
func TestRolloutSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, openBook(t), awsfake.Options{})
		st.cloud.SetBehaviour(st.images["till "+next], awsfake.Behaviour{Serve: func(int) (int, time.Duration) { return 200, 400 * time.Millisecond }})
		p := plan(next)
		p.Options.Share, p.Options.Watch = 50, 10*time.Minute
		stop := st.load()
		out, err := st.run(p)
		stop()
		var refused *rollout.RefusedError
		if out.Status != journal.Undone || !errors.As(err, &refused) || !strings.Contains(refused.Reason, "p99") {
			t.Errorf("%+v, %v", out, err)
		}
		st.whole(1, good, "slow")
	})
}
