package aws

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"godwit/internal/fleet"
)

// health is what the target groups of a place say of their targets: by name of
// the target group, then by instance.
type health map[string]map[string]target

func (s *Site) health(ctx context.Context, p *place) (health, error) {
	h := health{}
	for _, g := range p.targetGroups {
		targets, err := s.targets(ctx, g)
		if err != nil {
			return nil, err
		}
		h[g.name] = targets
	}
	return h, nil
}

// state of a member: ready is who is in service and healthy in every target
// group of its place. Where there is none, the launch hook keeps out of service
// who has not answered its health check.
func (h health) state(m member) (fleet.State, string) {
	switch {
	case m.lifecycle == "Terminated":
		return fleet.Dead, "it has ended"
	case strings.HasPrefix(m.lifecycle, "Terminating"):
		return fleet.Draining, "it is being ended"
	case m.held():
		return fleet.Starting, "it has not answered its health check yet (Auto Scaling: " + m.lifecycle + ")"
	case strings.HasPrefix(m.lifecycle, "Pending"):
		return fleet.Starting, "Auto Scaling: " + m.lifecycle
	case m.lifecycle != "InService":
		return fleet.Draining, "Auto Scaling: " + m.lifecycle
	}
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	state, reason := fleet.Ready, ""
	for _, name := range names {
		t, registered := h[name][m.id]
		switch {
		case !registered || t.draining():
			return fleet.Draining, name + " sends it nothing any more"
		case t.state != elb.TargetHealthStateEnumHealthy && state == fleet.Ready:
			state, reason = fleet.Starting, strings.TrimRight(fmt.Sprintf("%s finds it %s: %s", name, t.state, t.reason), ": ")
		}
	}
	if !m.healthy && state == fleet.Ready {
		return fleet.Starting, "Auto Scaling finds it unhealthy"
	}
	return state, reason
}

// settled: its load balancers have made up their minds about a member.
func (h health) settled(m member) bool {
	if strings.HasPrefix(m.lifecycle, "Pending") {
		return false
	}
	for _, targets := range h {
		if t, ok := targets[m.id]; ok && t.state == elb.TargetHealthStateEnumInitial {
			return false
		}
	}
	return true
}

// ready counts the members that are.
func (h health) ready(g group) int {
	n := 0
	for _, m := range g.members {
		if state, _ := h.state(m); state == fleet.Ready {
			n++
		}
	}
	return n
}

// wrong are the reasons why members are not ready, in words.
func (h health) wrong(g group) string {
	var all []string
	for _, m := range g.members {
		if state, reason := h.state(m); state != fleet.Ready {
			all = append(all, fmt.Sprintf("%s in %s: %s", m.id, m.zone, reason))
		}
	}
	return strings.Join(all, "; ")
}

// machine is an instance as EC2 sees it.
type machine struct {
	address netip.Addr
	started time.Time
	ended   string // how, when it has
}

// machines are the instances with the given ids; those that EC2 has forgotten
// are missing.
func (s *Site) machines(ctx context.Context, ids []string) (map[string]machine, error) {
	all := map[string]machine{}
	if len(ids) == 0 {
		return all, nil
	}
	// As a filter, and not by id: one that has just been forgotten is no error.
	in := &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("instance-id"), Values: ids}}}
	err := pages(func(token *string) (*string, error) {
		in.NextToken = token
		out, err := s.clients.EC2.DescribeInstances(ctx, in)
		if err != nil {
			return nil, explain("looking for instances", err)
		}
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				all[aws.ToString(i.InstanceId)] = readMachine(i)
			}
		}
		return out.NextToken, nil
	})
	return all, err
}

func readMachine(i types.Instance) machine {
	m := machine{started: aws.ToTime(i.LaunchTime)}
	m.address, _ = netip.ParseAddr(aws.ToString(i.PrivateIpAddress))
	if st := i.State; st != nil && st.Name != types.InstanceStateNamePending && st.Name != types.InstanceStateNameRunning {
		m.ended = string(st.Name)
		if r := i.StateReason; r != nil {
			m.ended = strings.TrimSpace(m.ended + ": " + aws.ToString(r.Message))
		}
	}
	return m
}
