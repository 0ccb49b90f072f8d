package awsfake_test

import (
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"godwit/internal/site/aws/awsfake"
)

// held puts the hook of launches onto the scene's group.
func (s *scene) held(seconds int32) {
	s.t.Helper()
	_, err := s.cloud.AutoScaling().PutLifecycleHook(ctx, &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: sdk.String("g"), LifecycleHookName: sdk.String("launch"),
		LifecycleTransition: sdk.String("autoscaling:EC2_INSTANCE_LAUNCHING"), DefaultResult: sdk.String("ABANDON"), HeartbeatTimeout: &seconds})
	s.ok(err)
}

func (s *scene) complete(id, result string) error {
	_, err := s.cloud.AutoScaling().CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: sdk.String("g"),
		LifecycleHookName: sdk.String("launch"), InstanceId: &id, LifecycleActionResult: &result})
	return err
}

// lives are the ids and states of all members.
func (s *scene) lives() (ids []string, states string) {
	s.t.Helper()
	for _, m := range s.members() {
		ids = append(ids, *m.InstanceId)
		states += " " + string(m.LifecycleState)
	}
	return ids, strings.TrimSpace(states)
}

func (s *scene) in(when, want string) []string {
	s.t.Helper()
	ids, states := s.lives()
	if states != want {
		s.t.Fatalf("%s they are %q, want %q", when, states, want)
	}
	return ids
}

// TestLaunchIsHeld until the service answers; no load balancer knows it before.
func TestLaunchIsHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t, awsfake.Options{})
	s.held(300)
	s.size(1)
	s.clock.Step(5 * time.Second)
	s.in("launched", "Pending")
	s.clock.Step(36 * time.Second)
	id := s.in("started", "Pending:Wait")[0]
	if got := s.health(); got != "" {
		t.Errorf("held by the hook, it is a target: %s", got)
	}
	s.clock.Step(10 * time.Second)
	s.in("answering", "InService")
	if err := s.complete(id, "CONTINUE"); code(err) != "ValidationError" || !strings.Contains(err.Error(), "No active Lifecycle Action found with instance ID "+id) {
		t.Errorf("completed again: %v", err)
	}
}

// TestLaunchIsAbandoned, because nobody says anything in time or somebody says
// no: another instance comes, and the activity names the one that went. A
// smaller group does not end who is held.
func TestLaunchIsAbandoned(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		give func(s *scene, id string)
		says string
	}{
		"nobody says anything": {func(s *scene, _ string) { s.clock.Step(240 * time.Second) }, "was abandoned: Heartbeat Timeout"},
		"somebody says no": {func(s *scene, id string) { s.ok(s.complete(id, "ABANDON")) },
			"was abandoned: Lifecycle Action Completed with ABANDON Result"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, awsfake.Options{})
			s.cloud.SetBehaviour(s.ami, awsfake.Behaviour{Unhealthy: true})
			s.held(300)
			s.size(1)
			s.clock.Step(100 * time.Second)
			id := s.in("long after its boot", "Pending:Wait")[0]
			c.give(s, id)
			s.clock.Step(15 * time.Second)
			both := s.in("abandoned", "Terminating:Proceed Pending")
			out, err := s.cloud.AutoScaling().DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: sdk.String("g")})
			s.ok(err)
			first := out.Activities[len(out.Activities)-1]
			if first.StatusCode != "Cancelled" || !strings.HasPrefix(*first.Description, "Launching a new EC2 instance: "+id) || !strings.Contains(*first.StatusMessage, c.says) {
				t.Errorf("%s %s: %s", first.StatusCode, *first.Description, sdk.ToString(first.StatusMessage))
			}
			s.clock.Step(60 * time.Second)
			s.in("a minute later", "Pending:Wait")
			s.size(0)
			s.clock.Step(60 * time.Second)
			s.in("in a group of none", "Pending:Wait")
			s.ok(s.complete(both[1], "ABANDON"))
			s.clock.Step(60 * time.Second)
			s.in("given up", "")
		})
	}
}
