package aws_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/convention"
)

// TestLaunchRefused: what cannot be is said with its mend, as what it means, and
// the release that serves goes on.
func TestLaunchRefused(t *testing.T) {
	t.Parallel()
	shortage := func(st *stage) {
		for _, z := range zones() {
			st.cloud.SetShortage(z, true)
		}
	}
	other := release(1, good)
	other.SecretVersion = "another"
	for name, c := range map[string]struct {
		arrange func(*stage)
		release fleet.Release
		is      error
		says    string
	}{
		"no machine image": {nil, release(2, "sha256:unbaked"), site.ErrInvalid, "godwit aws bake till"},
		"another image":    {nil, release(1, next), site.ErrInvalid, "a release never changes"},
		"other values":     {nil, other, site.ErrInvalid, "a release never changes"},
		"no instances":     {nil, fleet.Release{Environment: "test", Service: "till", Number: 2, Image: next}, site.ErrInvalid, "0 instances"},
		"not offered":      {func(st *stage) { st.cloud.SetOffered("t3.small", zones()[:2]...) }, release(2, next), site.ErrInvalid, "not offered in eu-central-1c"},
		"quota":            {func(st *stage) { st.cloud.SetQuota(4) }, release(2, next), site.ErrUnready, "Service Quotas"},
		"no capacity":      {shortage, release(2, next), site.ErrUnready, "do not have sufficient t3.small capacity"},
		"instance refresh": {refresh, release(2, next), site.ErrInvalid, "cancel-instance-refresh --auto-scaling-group-name bistro-test-till-"},
	} {
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, nil, awsfake.Options{})
			if c.arrange != nil {
				c.arrange(st)
			}
			stop := st.load()
			err := st.newSite().Launch(context.Background(), c.release)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
			if c.is == site.ErrUnready && errors.Is(err, site.ErrInvalid) {
				t.Errorf("%s: something was done, and it says that nothing was: %v", name, err)
			}
			if served, failed := stop(); len(cut(failed)) > 0 {
				t.Errorf("%s: %d served, failed: %v", name, served, failed)
			}
			for range 2 {
				if err := st.newSite().Retire(context.Background(), "test", "till", 2); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if c.says != "cancel-instance-refresh --auto-scaling-group-name bistro-test-till-" {
				st.whole(1, good, name)
			}
		})
	}
}

// cut leaves out the request that the end of the load itself has cut off.
func cut(failed []string) []string {
	return slices.DeleteFunc(failed, func(f string) bool { return strings.HasSuffix(f, context.Canceled.Error()) })
}

func refresh(st *stage) {
	_, err := st.cloud.AutoScaling().StartInstanceRefresh(context.Background(),
		&autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: sdk.String(st.holding("1").Name)})
	if err != nil {
		st.t.Fatal(err)
	}
}

// described is what the tests below look at of a group.
type described struct {
	Name              string
	Min, Desired, Max int32
	Suspended         int
	Instances         []string
	Release           string
}

func (st *stage) place(c convention.Colour) described {
	st.t.Helper()
	out, err := st.cloud.AutoScaling().DescribeAutoScalingGroups(context.Background(),
		&autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{scope.Group("till", c)}})
	if err != nil || len(out.AutoScalingGroups) != 1 {
		st.t.Fatalf("%+v, %v", out, err)
	}
	g := out.AutoScalingGroups[0]
	d := described{Name: *g.AutoScalingGroupName, Min: *g.MinSize, Desired: *g.DesiredCapacity, Max: *g.MaxSize, Suspended: len(g.SuspendedProcesses)}
	for _, i := range g.Instances {
		d.Instances = append(d.Instances, *i.InstanceId)
	}
	for _, tag := range g.Tags {
		if *tag.Key == convention.TagRelease {
			d.Release = *tag.Value
		}
	}
	return d
}

// holding is the group of a release.
func (st *stage) holding(release string) described {
	st.t.Helper()
	for _, c := range convention.Colours {
		if d := st.place(c); d.Release == release {
			return d
		}
	}
	st.t.Fatalf("no group holds release %s", release)
	return described{}
}

// TestBothPlacesTaken: a third release finds no place until one is retired.
func TestBothPlacesTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, ctx := newStage(t, nil, awsfake.Options{}), context.Background()
		s := st.newSite()
		if err := s.Launch(ctx, release(2, next)); err != nil {
			t.Fatal(err)
		}
		err := s.Launch(ctx, release(3, next))
		if !errors.Is(err, site.ErrInvalid) || !strings.Contains(err.Error(), "release 1") || !strings.Contains(err.Error(), "release 2") {
			t.Errorf("%v", err)
		}
		for _, do := range []error{s.Retire(ctx, "test", "till", 2), s.Launch(ctx, release(3, next))} {
			if do != nil {
				t.Error(do)
			}
		}
	})
}

// TestCapacityFirst: the old release has grown to six since the new one was
// launched; before it gets all requests, the new one has as many. Then it scales
// between the landscape's bounds, and the old one rests.
func TestCapacityFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, ctx := newStage(t, nil, awsfake.Options{}), context.Background()
		s, stop := st.newSite(), st.load()
		if d := st.holding("1"); d.Min != 1 || d.Max != 6 || d.Suspended != 0 {
			t.Errorf("the one that serves: %+v", d)
		}
		must(t, s.Launch(ctx, release(2, next)))
		if d := st.holding("2"); d.Min != 2 || d.Desired != 2 || d.Max != 2 || d.Suspended == 0 {
			t.Errorf("launched: %+v", d)
		}
		_, err := st.cloud.AutoScaling().UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{
			AutoScalingGroupName: sdk.String(st.holding("1").Name), DesiredCapacity: sdk.Int32(6)})
		must(t, err)
		time.Sleep(3 * time.Minute)
		must(t, s.Shift(ctx, "test", "till", fleet.Weights{1: 95, 2: 5}))
		if d := st.holding("2"); d.Desired != 2 {
			t.Errorf("for a twentieth it needs no more than it has: %+v", d)
		}
		must(t, s.Shift(ctx, "test", "till", fleet.Weights{2: 100}))
		if d := st.holding("2"); len(d.Instances) != 6 || d.Min != 1 || d.Max != 6 || d.Suspended != 0 {
			t.Errorf("it serves everything: %+v", d)
		}
		if d := st.holding("1"); d.Min != 6 || d.Max != 6 || d.Suspended == 0 {
			t.Errorf("it serves nothing any more: %+v", d)
		}
		if _, failed := stop(); len(cut(failed)) > 0 {
			t.Errorf("failed: %v", failed)
		}
	})
}

// TestShiftIsRepaired: the second of two rules cannot be changed. That is said,
// the release that still gets requests by it counts as having weight, and the
// same call again completes the shift.
func TestShiftIsRepaired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, ctx := newStage(t, nil, awsfake.Options{}), context.Background()
		s := st.newSite()
		must(t, s.Launch(ctx, release(2, next)))
		changed := 0
		st.cloud.SetFaults(awsfake.Faults{Before: func(c awsfake.Call) error {
			if c.Operation != "ModifyRule" && c.Operation != "ModifyListener" {
				return nil
			}
			if changed++; changed > 1 {
				return awsfake.Denied(c)
			}
			return nil
		}})
		err := s.Shift(ctx, "test", "till", fleet.Weights{2: 100})
		var said *aws.Error
		if !errors.As(err, &said) || said.Kind != aws.KindDenied || !strings.Contains(err.Error(), "call again to complete it") {
			t.Errorf("%v", err)
		}
		st.cloud.SetFaults(awsfake.Faults{})
		for _, release := range []int{1, 2} {
			if err := s.Retire(ctx, "test", "till", release); !errors.Is(err, site.ErrInvalid) {
				t.Errorf("release %d, which some requests are sent to, is retired: %v", release, err)
			}
		}
		must(t, s.Shift(ctx, "test", "till", fleet.Weights{2: 100}))
		e, err := s.Observe(ctx, "test")
		must(t, err)
		for _, f := range e.Fleets {
			if f.Service == "till" && !maps.Equal(f.Weights, fleet.Weights{2: 100}) {
				t.Errorf("weights %v", f.Weights)
			}
		}
		must(t, s.Drain(ctx, "test", "till", 1), s.Retire(ctx, "test", "till", 1))
		st.whole(2, next, "repaired")
	})
}

// TestDrainedServesAgain: what was drained is launched again without new instances.
func TestDrainedServesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, ctx := newStage(t, nil, awsfake.Options{}), context.Background()
		s := st.newSite()
		stop := st.load()
		before := st.holding("1").Instances
		must(t, s.Launch(ctx, release(2, next)), s.Shift(ctx, "test", "till", fleet.Weights{2: 100}), s.Drain(ctx, "test", "till", 1))
		if err := s.Shift(ctx, "test", "till", fleet.Weights{1: 100}); !errors.Is(err, site.ErrInvalid) {
			t.Errorf("shifted to what is drained: %v", err)
		}
		must(t, s.Launch(ctx, release(1, good)), s.Shift(ctx, "test", "till", fleet.Weights{1: 100}))
		if after := st.holding("1").Instances; strings.Join(after, " ") != strings.Join(before, " ") {
			t.Errorf("instances were %v, are %v", before, after)
		}
		if _, failed := stop(); len(cut(failed)) > 0 {
			t.Errorf("failed: %v", failed)
		}
	})
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
