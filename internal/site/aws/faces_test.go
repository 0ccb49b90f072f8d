package aws_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/convention"
)

// TestFirstLoadBalancer: a service that nobody could reach gets an ingress. Terraform
// writes its rule for blue; the release serves in green, and is to go on.
func TestFirstLoadBalancer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, ctx := newUnreached(t), context.Background()
		if out, err := st.cook(st.newSite(), next); out.Status != journal.Done {
			t.Fatalf("%+v, %v", out, err)
		}
		l := bistro()
		l.Ingresses = append(l.Ingresses, landscape.Ingress{Name: "kitchen", Host: "kitchen.bistro.example", Service: "kitchen"})
		if err := fakeProvisioner(st.cloud).Apply(ctx, l, "test"); err != nil {
			t.Fatal(err)
		}
		st.attach("kitchen")
		time.Sleep(time.Minute) // its instances are found healthy
		if err := st.newSite().Align(ctx, "test"); err != nil {
			t.Fatal(err)
		}
		if err := st.cloud.Request(ctx, scope.LoadBalancer(convention.Public, ""), "kitchen.bistro.example", "/"); err != nil {
			t.Errorf("the new host is not served: %v", err)
		}
		if w := st.fleetOf("kitchen").Weights; len(w) != 1 || w[2] == 0 {
			t.Errorf("weights %v", w)
		}
	})
}

// TestLastLoadBalancer: a service loses all that leads to it. What serves goes on
// as its release, so that the next rollout finds and ends it.
func TestLastLoadBalancer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, openBook(t), awsfake.Options{})
		st.detach("till")
		if w := st.fleetOf("till").Weights; len(w) != 1 || w[1] == 0 {
			t.Fatalf("weights %v", w)
		}
		if out, err := st.run(st.planned(release(1, good), release(2, next))); err != nil || out.Status != journal.Done {
			t.Errorf("%+v, %v", out, err)
		}
		f := st.fleetOf("till")
		if len(f.Weights) != 1 || f.Weights[2] == 0 {
			t.Errorf("weights %v", f.Weights)
		}
		for _, i := range f.Instances {
			if i.Release != 2 || i.State != fleet.Ready {
				t.Errorf("%+v", i)
			}
		}
	})
}

// attach does as Terraform does with the target groups that a service has by now.
func (st *stage) attach(service string) {
	st.t.Helper()
	for _, c := range convention.Colours {
		found, err := st.cloud.LoadBalancing().DescribeTargetGroups(context.Background(), &elb.DescribeTargetGroupsInput{Names: []string{scope.TargetGroup(service, convention.Public, c)}})
		if err == nil {
			_, err = st.cloud.AutoScaling().AttachLoadBalancerTargetGroups(context.Background(), &autoscaling.AttachLoadBalancerTargetGroupsInput{
				AutoScalingGroupName: sdk.String(scope.Group(service, c)), TargetGroupARNs: []string{*found.TargetGroups[0].TargetGroupArn}})
		}
		if err != nil {
			st.t.Fatal(err)
		}
	}
}

// detach takes all target groups from a service's groups.
func (st *stage) detach(service string) {
	st.t.Helper()
	for _, c := range convention.Colours {
		name := sdk.String(scope.Group(service, c))
		found, err := st.cloud.AutoScaling().DescribeAutoScalingGroups(context.Background(), &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{*name}})
		if err != nil {
			st.t.Fatal(err)
		}
		if _, err := st.cloud.AutoScaling().DetachLoadBalancerTargetGroups(context.Background(), &autoscaling.DetachLoadBalancerTargetGroupsInput{
			AutoScalingGroupName: name, TargetGroupARNs: found.AutoScalingGroups[0].TargetGroupARNs}); err != nil {
			st.t.Fatal(err)
		}
	}
}
