package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/rollout"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/convention"
)

// unreached is a release of the kitchen, which no ingress reaches and nobody
// needs: no load balancer asks for its health.
func unreached(number int, digest string) fleet.Release {
	r := release(number, digest)
	r.Service, r.Port = "kitchen", 8081
	return r
}

// newUnreached is a stage on which release 1 of the kitchen serves too.
func newUnreached(t *testing.T) *stage {
	t.Helper()
	st, ctx := newStage(t, openBook(t), awsfake.Options{}), context.Background()
	s := st.newSite()
	for _, err := range []error{s.Launch(ctx, unreached(1, good)), s.Shift(ctx, "test", "kitchen", fleet.Weights{1: 100})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// patient is a site that waits so long for instances.
func (st *stage) patient(patience time.Duration) *aws.Site {
	return aws.New(fakeClients(st.cloud), aws.Options{Landscape: bistro(), Region: "eu-central-1", Provisioner: fakeProvisioner(st.cloud), Resolve: resolve,
		Poll: 5 * time.Second, Patience: patience})
}

// cook rolls release 2 of the kitchen out.
func (st *stage) cook(s site.Site, digest string) (journal.Outcome, error) {
	p := plan(digest)
	p.Service, p.From, p.To = "kitchen", unreached(1, good), unreached(2, digest)
	p.Options.Launch = 20 * time.Minute
	payload, err := json.Marshal(p)
	if err != nil {
		st.t.Fatal(err)
	}
	return openJournal(st.book).Run(context.Background(), journal.Run{ID: st.id, Kind: rollout.Kind, Subject: "test/kitchen", Payload: payload}, rollout.Steps(s, p), nil)
}

// kitchens are the ids of the kitchen's instances: all of one release, ready, and
// as many as it should have.
func (st *stage) kitchens(number int, when string) []string {
	st.t.Helper()
	e, err := st.newSite().Observe(context.Background(), "test")
	if err != nil {
		st.t.Fatal(err)
	}
	var ids []string
	for _, f := range e.Fleets {
		if f.Service != "kitchen" {
			continue
		}
		if f.Weights[number] == 0 || len(f.Weights) != 1 {
			st.t.Errorf("%s: weights %v", when, f.Weights)
		}
		for _, i := range f.Instances {
			if i.Release != number || i.State != fleet.Ready {
				st.t.Errorf("%s: %+v", when, i)
			}
			ids = append(ids, i.ID)
		}
	}
	if len(ids) != 2 {
		st.t.Errorf("%s: instances %v", when, ids)
	}
	slices.Sort(ids)
	return ids
}

// TestUnreachedGood: instances answer for themselves, and the rollout goes on.
func TestUnreachedGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newUnreached(t)
		old := st.kitchens(1, "before")
		if out, err := st.cook(st.newSite(), next); out.Status != journal.Done {
			t.Errorf("%+v, %v", out, err)
		}
		if slices.ContainsFunc(st.kitchens(2, "after"), func(id string) bool { return slices.Contains(old, id) }) {
			t.Error("an old instance serves still")
		}
	})
}

// TestUnreachedNeverHealthy: an image whose service never answers is refused,
// whether the site runs out of patience first or Auto Scaling does. It says of
// which instance to read the log, and where; nothing happens to the old ones.
func TestUnreachedNeverHealthy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		patience time.Duration
		says     []string
	}{
		"the site gives up": {5 * time.Minute, []string{"0 of 2 instances are ready", "has not answered its health check yet", "Pending:Wait", "log group /bistro/test/kitchen", "5m0s"}},
		"Auto Scaling does": {20 * time.Minute, []string{"never answered its health check, and Auto Scaling gave it up", "of CloudWatch log group /bistro/test/kitchen"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			st := newUnreached(t)
			old, begun := st.kitchens(1, "before"), time.Now()
			out, err := st.cook(st.patient(c.patience), bad)
			if out.Status != journal.Undone || out.Failed != "launch" || !errors.Is(err, site.ErrUnready) {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			for _, want := range c.says {
				if !strings.Contains(fmt.Sprint(err), want) {
					t.Errorf("%s: it does not say %q: %v", name, want, err)
				}
			}
			if !slices.ContainsFunc(st.launched(2), func(id string) bool { return strings.Contains(fmt.Sprint(err), id) }) {
				t.Errorf("%s: it names no instance: %v", name, err)
			}
			// The hook of the tests' scene runs out after ten minutes: what is held is not waited for.
			if took := time.Since(begun); took > min(c.patience, 11*time.Minute)+3*time.Minute {
				t.Errorf("%s: it took %v", name, took)
			}
			if left := st.kitchens(1, name); !slices.Equal(left, old) {
				t.Errorf("%s: %v served before, %v does now", name, old, left)
			}
		})
	}
}

// launched are the instances of the kitchen that were ever launched for a release.
func (st *stage) launched(number int) []string {
	st.t.Helper()
	var ids []string
	for _, c := range convention.Colours {
		out, err := st.cloud.AutoScaling().DescribeScalingActivities(context.Background(), &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: sdk.String(scope.Group("kitchen", c))})
		if err != nil {
			st.t.Fatal(err)
		}
		for _, a := range out.Activities {
			id, _, _ := strings.Cut(strings.TrimPrefix(*a.Description, "Launching a new EC2 instance: "), ".")
			if u, err := convention.DecodeUserData(st.cloud.UserData(id)); err == nil && u.Release.Number == number {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) == 0 {
		st.t.Fatalf("no instance was launched for release %d", number)
	}
	return ids
}

// TestUnreachedOldImage: the agent of a machine image from before would never
// complete the hook. That is said at once, and only of a service that has it.
func TestUnreachedOldImage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, ctx := newUnreached(t), context.Background()
		for _, service := range []string{"kitchen ", "till "} {
			if _, err := st.cloud.EC2().CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{st.images[service+next]},
				Tags: []ec2types.Tag{{Key: sdk.String(convention.TagReads), Value: sdk.String("2")}}}); err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		err := st.newSite().Launch(ctx, unreached(2, next))
		if !errors.Is(err, site.ErrInvalid) || !strings.Contains(err.Error(), "older godwit") || !strings.Contains(err.Error(), "godwit aws bake kitchen") || time.Since(begun) > time.Minute {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if err := st.newSite().Launch(ctx, release(2, next)); err != nil {
			t.Errorf("a load balancer asks for the till's health: %v", err)
		}
	})
}
