package aws_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
)

const frontHost = "test.till.bistro.example" // of the till in test: stage is the main environment

// fronted is a site whose environment test has been made as Terraform makes it.
func fronted(t *testing.T, o awsfake.Options, l *landscape.Landscape) (*awsfake.Cloud, *aws.Site) {
	t.Helper()
	c := awsfake.New(o)
	if err := (awstest.Fronts{Provisioner: fakeProvisioner(c)}).Apply(t.Context(), l, "test"); err != nil {
		t.Fatal(err)
	}
	return c, siteOf(fakeClients(c), l)
}

func siteOf(clients aws.Clients, l *landscape.Landscape) *aws.Site {
	return aws.New(clients, aws.Options{Landscape: l, Region: awstest.Region, Resolve: resolve})
}

// TestFront: the public load balancer's own name, whatever it is, and the first
// host of the service; also when AWS answers page by page.
func TestFront(t *testing.T) {
	t.Parallel()
	l := bistro()
	l.Ingresses = append(l.Ingresses, landscape.Ingress{Name: "again", Host: "again.bistro.example", Service: "till"})
	c, s := fronted(t, awsfake.Options{Page: 1}, l)
	for _, host := range []string{"bistro-test-public-1.eu-central-1.elb.amazonaws.com", "127.0.0.7"} {
		front, err := s.Front(t.Context(), "test", "till")
		if want := (site.Front{Address: host + ":443", TLS: "test.again.bistro.example"}); err != nil || front != want {
			t.Errorf("got %+v (%v), want %+v", front, err, want)
		}
		if err := c.SetDNSName(scope.LoadBalancer(convention.Public, ""), "127.0.0.7"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoFront: what is missing is said, and what makes it.
func TestNoFront(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		arrange func(*testing.T, *awsfake.Cloud)
		service string
		says    string
	}{
		"no ingress":        {nil, "kitchen", "service kitchen has no ingress in landscape bistro"},
		"no load balancer":  {dropBalancer, "till", "environment test of bistro has no public load balancer bistro-test-public"},
		"no HTTPS":          {plainListener, "till", "load balancer bistro-test-public does not listen by HTTPS on port 443"},
		"no rule":           {dropRule, "till", "has no rule that sends requests for " + frontHost + " to service till"},
		"a rule for others": {divert, "till", "has no rule that sends requests for " + frontHost + " to service till"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, s := fronted(t, awsfake.Options{}, bistro())
			if c.arrange != nil {
				c.arrange(t, cloud)
			}
			front, err := s.Front(t.Context(), "test", c.service)
			for _, says := range []string{c.says, "`godwit aws apply --env test`"} {
				if !errors.Is(err, site.ErrNotFound) || !strings.Contains(err.Error(), says) {
					t.Errorf("%+v: %v\ndoes not say %s", front, err, says)
				}
			}
		})
	}
}

func publicBalancer(t *testing.T, c *awsfake.Cloud) *string {
	t.Helper()
	out, err := c.LoadBalancing().DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{Names: []string{scope.LoadBalancer(convention.Public, "")}})
	if err != nil {
		t.Fatal(err)
	}
	return out.LoadBalancers[0].LoadBalancerArn
}

func dropBalancer(t *testing.T, c *awsfake.Cloud) {
	if _, err := c.LoadBalancing().DeleteLoadBalancer(t.Context(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: publicBalancer(t, c)}); err != nil {
		t.Fatal(err)
	}
}

// publicRule is the listener for clients with its rule for the till's host.
func publicRule(t *testing.T, c *awsfake.Cloud) (listener *string, r elbtypes.Rule) {
	t.Helper()
	out, err := c.LoadBalancing().DescribeListeners(t.Context(), &elb.DescribeListenersInput{LoadBalancerArn: publicBalancer(t, c)})
	if err != nil {
		t.Fatal(err)
	}
	listener = out.Listeners[0].ListenerArn
	rules, err := c.LoadBalancing().DescribeRules(t.Context(), &elb.DescribeRulesInput{ListenerArn: listener})
	if err != nil {
		t.Fatal(err)
	}
	return listener, rules.Rules[0]
}

// plainListener takes the listener's place: what it speaks is not encrypted.
func plainListener(t *testing.T, c *awsfake.Cloud) {
	listener, r := publicRule(t, c)
	_, dropped := c.LoadBalancing().DeleteListener(t.Context(), &elb.DeleteListenerInput{ListenerArn: listener})
	made, err := c.LoadBalancing().CreateListener(t.Context(), &elb.CreateListenerInput{LoadBalancerArn: publicBalancer(t, c), Port: sdk.Int32(443), Protocol: "HTTP", DefaultActions: r.Actions})
	if err := errors.Join(dropped, err); err != nil {
		t.Fatal(err)
	}
	if _, err := c.LoadBalancing().CreateRule(t.Context(), &elb.CreateRuleInput{ListenerArn: made.Listeners[0].ListenerArn, Priority: sdk.Int32(1), Actions: r.Actions, Conditions: r.Conditions}); err != nil {
		t.Fatal(err)
	}
}

func dropRule(t *testing.T, c *awsfake.Cloud) {
	_, r := publicRule(t, c)
	if _, err := c.LoadBalancing().DeleteRule(t.Context(), &elb.DeleteRuleInput{RuleArn: r.RuleArn}); err != nil {
		t.Fatal(err)
	}
}

// divert has the rule for the host lead elsewhere, and one for another host to the till.
func divert(t *testing.T, c *awsfake.Cloud) {
	listener, r := publicRule(t, c)
	elsewhere := []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{StatusCode: sdk.String("404")}}}
	_, err := c.LoadBalancing().ModifyRule(t.Context(), &elb.ModifyRuleInput{RuleArn: r.RuleArn, Actions: elsewhere})
	_, err2 := c.LoadBalancing().CreateRule(t.Context(), &elb.CreateRuleInput{ListenerArn: listener, Priority: sdk.Int32(9), Actions: r.Actions,
		Conditions: []elbtypes.RuleCondition{{Field: sdk.String("host-header"), Values: []string{"other.bistro.example"}}}})
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
}

// TestFrontOfSomeHosts: a host that was declared and not applied yet would be
// answered with 404.
func TestFrontOfSomeHosts(t *testing.T) {
	t.Parallel()
	c, _ := fronted(t, awsfake.Options{}, bistro())
	l := bistro()
	l.Ingresses = append(l.Ingresses, landscape.Ingress{Name: "young", Host: "young.bistro.example", Service: "till"})
	_, err := siteOf(fakeClients(c), l).Front(t.Context(), "test", "till")
	if !errors.Is(err, site.ErrNotFound) || !strings.Contains(err.Error(), "test.young.bistro.example") {
		t.Errorf("%v", err)
	}
}

// TestFrontNotOurs: another landscape's load balancer may have the same name.
func TestFrontNotOurs(t *testing.T) {
	t.Parallel()
	c := awsfake.New(awsfake.Options{})
	theirs := bistro()
	theirs.Name, theirs.Environments[0].Name = "bistro-test", "a"
	if err := (awstest.Fronts{Provisioner: fakeProvisioner(c)}).Apply(t.Context(), theirs, "a"); err != nil {
		t.Fatal(err)
	}
	ours := bistro()
	ours.Environments[0].Name = "test-a"
	_, err := siteOf(fakeClients(c), ours).Front(t.Context(), "test-a", "till")
	if !errors.Is(err, site.ErrNotFound) || !strings.Contains(err.Error(), `is not that of environment test-a of bistro, its tags godwit:landscape and godwit:environment say "bistro-test" and "a"`) {
		t.Errorf("%v", err)
	}
}

// unfinished are load balancers that AWS is still making.
type unfinished struct{ aws.LoadBalancing }

func (u unfinished) DescribeLoadBalancers(ctx context.Context, in *elb.DescribeLoadBalancersInput, o ...func(*elb.Options)) (*elb.DescribeLoadBalancersOutput, error) {
	out, err := u.LoadBalancing.DescribeLoadBalancers(ctx, in, o...)
	if err == nil {
		out.LoadBalancers[0].State.Code = elbtypes.LoadBalancerStateEnumProvisioning
	}
	return out, err
}

func TestFrontUnfinished(t *testing.T) {
	t.Parallel()
	c, _ := fronted(t, awsfake.Options{}, bistro())
	clients := fakeClients(c)
	clients.LoadBalancing = unfinished{clients.LoadBalancing}
	_, err := siteOf(clients, bistro()).Front(t.Context(), "test", "till")
	if !errors.Is(err, site.ErrNotFound) || !strings.Contains(err.Error(), "its state is provisioning: wait until `godwit aws apply --env test` has ended") {
		t.Errorf("%v", err)
	}
}

// TestMigrationDenied: whichever call is refused, the error names the action to
// allow, and does not say that something is missing.
func TestMigrationDenied(t *testing.T) {
	t.Parallel()
	c, s := migrated(t)
	before := len(c.Calls())
	if err := migrates(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	var denied []string
	for _, asked := range c.Calls()[before:] {
		c.SetFaults(awsfake.Faults{Before: func(call awsfake.Call) error {
			if call.Operation == asked.Operation {
				return awsfake.Denied(call)
			}
			return nil
		}})
		err := migrates(t.Context(), s)
		var said *aws.Error
		if !errors.As(err, &said) || said.Kind != aws.KindDenied || said.Doing == "" || !strings.Contains(said.Mend, asked.Operation) || errors.Is(err, site.ErrNotFound) {
			t.Errorf("%s is refused: %v", asked.Operation, err)
		}
		denied = append(denied, asked.Operation)
	}
	if !slices.Contains(denied, "DescribeRules") || !slices.Contains(denied, "GetSecretValue") || !slices.Contains(denied, "DescribeTags") {
		t.Errorf("only these were tried: %v", denied)
	}
}

// migrates asks for all that a migration needs of the site.
func migrates(ctx context.Context, s *aws.Site) error {
	_, err := s.Front(ctx, "test", "till")
	_, err2 := s.OpenRelay(ctx, "test", "till", "192.168.10.5:5432")
	_, err3 := s.Database(ctx, "test", "till")
	return errors.Join(err, err2, err3)
}
