package aws

import (
	"errors"
	"maps"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"pgregory.net/rapid"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

type byColour = map[convention.Colour]int

func bothFaces() []targetGroup {
	return []targetGroup{
		{arn: "pb", face: convention.Public, colour: convention.Blue}, {arn: "pg", face: convention.Public, colour: convention.Green},
		{arn: "ib", face: convention.Internal, colour: convention.Blue}, {arn: "ig", face: convention.Internal, colour: convention.Green}}
}

func forwardTo(weights ...any) types.Action {
	f := &types.ForwardActionConfig{}
	for i := 0; i < len(weights); i += 2 {
		f.TargetGroups = append(f.TargetGroups, types.TargetGroupTuple{TargetGroupArn: aws.String(weights[i].(string)), Weight: aws.Int32(int32(weights[i+1].(int)))})
	}
	return types.Action{Type: types.ActionTypeEnumForward, ForwardConfig: f, Order: aws.Int32(1)}
}

func TestFittingWeights(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want byColour }{
		{byColour{"blue": 7}, byColour{"blue": 7}},
		{byColour{"blue": 999, "green": 1}, byColour{"blue": 999, "green": 1}},
		{byColour{"blue": 1000000, "green": 1}, byColour{"blue": 999, "green": 1}},
		{byColour{"blue": 5000, "green": 2500}, byColour{"blue": 999, "green": 499}},
		{byColour{"blue": 5000, "green": 0}, byColour{"blue": 999, "green": 0}},
	} {
		if got := fitting(c.in); !maps.Equal(got, c.want) {
			t.Errorf("%v becomes %v, want %v", c.in, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.IntRange(0, 1<<40)
		in := byColour{"blue": w.Draw(t, "blue"), "green": w.Draw(t, "green")}
		for c, got := range fitting(in) {
			if got < 0 || got > greatestWeight || (got == 0) != (in[c] == 0) {
				t.Fatalf("%v becomes %d for %s", in, got, c)
			}
		}
	})
}

// TestReweigh: only the service's own target groups change, what else a rule
// does stays, and what is set is read back.
func TestReweigh(t *testing.T) {
	t.Parallel()
	groups := bothFaces()
	login := types.Action{Type: types.ActionTypeEnumAuthenticateOidc, Order: aws.Int32(1)}
	sticky := forwardTo("pb", 100, "pg", 0, "other", 3)
	sticky.ForwardConfig.TargetGroupStickinessConfig = &types.TargetGroupStickinessConfig{Enabled: aws.Bool(true)}
	out, changed := reweigh([]types.Action{login, sticky}, groups, byColour{"blue": 90, "green": 10})
	if !changed || out[0].Type != login.Type || !*out[1].ForwardConfig.TargetGroupStickinessConfig.Enabled {
		t.Errorf("%v %+v", changed, out)
	}
	if got := weighed([]rule{{actions: out}}, groups); !maps.Equal(got, byColour{"blue": 90, "green": 10}) {
		t.Errorf("read back: %v", got)
	}
	if other := out[1].ForwardConfig.TargetGroups[2]; *other.TargetGroupArn != "other" || *other.Weight != 3 {
		t.Errorf("what is not ours became %+v", other)
	}
	if *sticky.ForwardConfig.TargetGroups[0].Weight != 100 {
		t.Error("what was read has changed too")
	}
	if _, again := reweigh(out, groups, byColour{"blue": 90, "green": 10}); again {
		t.Error("the same weights again are a change")
	}
}

// TestReweighPlain: a rule that Terraform made with one target group gets to
// know the other place, of the same face.
func TestReweighPlain(t *testing.T) {
	t.Parallel()
	plain := types.Action{Type: types.ActionTypeEnumForward, TargetGroupArn: aws.String("ib")}
	out, changed := reweigh([]types.Action{plain}, bothFaces(), byColour{"green": 1})
	tuples := out[0].ForwardConfig.TargetGroups
	if !changed || len(tuples) != 2 || out[0].TargetGroupArn != nil || *tuples[0].Weight != 0 || *tuples[1].TargetGroupArn != "ig" || *tuples[1].Weight != 1 {
		t.Errorf("%v %+v", changed, out[0])
	}
	stranger := forwardTo("elsewhere", 1)
	if _, changed := reweigh([]types.Action{stranger}, bothFaces(), byColour{"green": 1}); changed {
		t.Error("a rule of another service changed")
	}
}

// TestWeighedTakesTheGreatest: after a shift that was cut short each place that
// any rule sends requests to has weight.
func TestWeighedTakesTheGreatest(t *testing.T) {
	t.Parallel()
	got := weighed([]rule{{actions: []types.Action{forwardTo("pb", 0, "pg", 100)}}, {actions: []types.Action{forwardTo("ib", 95, "ig", 5)}}}, bothFaces())
	if !maps.Equal(got, byColour{"blue": 95, "green": 100}) {
		t.Errorf("%v", got)
	}
}

func TestWeightsByPlace(t *testing.T) {
	t.Parallel()
	v := &deployment{scope: convention.Scope{Landscape: "bistro", Environment: "test"}, service: "till", places: []*place{
		{group: group{colour: convention.Blue, release: 4}}, {group: group{colour: convention.Green, release: 5}}}}
	for name, c := range map[string]struct {
		in   fleet.Weights
		want byColour // nil: refused
	}{
		"both":              {fleet.Weights{4: 90, 5: 10}, byColour{"blue": 90, "green": 10}},
		"unknown without":   {fleet.Weights{3: 0, 5: 1}, byColour{"green": 1}},
		"unknown":           {fleet.Weights{3: 1, 5: 1}, nil},
		"negative":          {fleet.Weights{4: 1, 5: -1}, nil},
		"negative, unknown": {fleet.Weights{4: 1, 3: -1}, nil},
		"none":              {nil, nil},
		"all zero":          {fleet.Weights{4: 0}, nil},
		"release 0":         {fleet.Weights{0: 1}, nil},
	} {
		got, err := v.byPlace(c.in)
		if (err != nil) != (c.want == nil) || err != nil && !errors.Is(err, site.ErrInvalid) || !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	v.places[1].withdrawn = true
	if got, err := v.byPlace(nil); err != nil || len(got) != 0 {
		t.Errorf("withdrawn: %v, %v", got, err)
	}
}
