package aws

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// greatestWeight is what AWS takes.
const greatestWeight = 999

// fitting are weights as AWS takes them: as they are, or scaled down when one is
// greater. None that is above 0 becomes 0.
func fitting(weights map[convention.Colour]int) map[convention.Colour]int {
	top := 0
	for _, w := range weights {
		top = max(top, w)
	}
	out := map[convention.Colour]int{}
	for c, w := range weights {
		if top > greatestWeight && w > 0 {
			w = max(1, int(int64(w)*greatestWeight/int64(top)))
		}
		out[c] = w
	}
	return out
}

// forwarded are the target groups of an action; nil when it does not forward.
func forwarded(a types.Action) []types.TargetGroupTuple {
	switch {
	case a.Type != types.ActionTypeEnumForward:
		return nil
	case a.ForwardConfig != nil && len(a.ForwardConfig.TargetGroups) > 0:
		return a.ForwardConfig.TargetGroups
	case a.TargetGroupArn != nil:
		return []types.TargetGroupTuple{{TargetGroupArn: a.TargetGroupArn, Weight: aws.Int32(1)}}
	}
	return nil
}

// reweigh sets the weights of a service's places in the actions of a rule, and
// leaves all else as it is. A rule that knows only one place gets to know the other.
func reweigh(actions []types.Action, groups []targetGroup, weights map[convention.Colour]int) (out []types.Action, changed bool) {
	for _, a := range actions {
		tuples := forwarded(a)
		i := slices.IndexFunc(groups, func(g targetGroup) bool {
			return slices.ContainsFunc(tuples, func(t types.TargetGroupTuple) bool { return aws.ToString(t.TargetGroupArn) == g.arn })
		})
		if i < 0 {
			out = append(out, a)
			continue
		}
		tuples = slices.Clone(tuples)
		for _, g := range groups {
			if g.face != groups[i].face || g.colour == "" {
				continue
			}
			want := int32(weights[g.colour])
			at := slices.IndexFunc(tuples, func(t types.TargetGroupTuple) bool { return aws.ToString(t.TargetGroupArn) == g.arn })
			if at < 0 {
				tuples, at = append(tuples, types.TargetGroupTuple{TargetGroupArn: aws.String(g.arn)}), len(tuples)
			}
			if tuples[at].Weight == nil || *tuples[at].Weight != want {
				tuples[at].Weight, changed = aws.Int32(want), true
			}
		}
		forward := types.ForwardActionConfig{TargetGroups: tuples}
		if a.ForwardConfig != nil {
			forward.TargetGroupStickinessConfig = a.ForwardConfig.TargetGroupStickinessConfig
		}
		a.ForwardConfig, a.TargetGroupArn = &forward, nil
		out = append(out, a)
	}
	return out, changed
}

// weighed are the weights of a service's places in all rules. Where rules
// disagree, as after a shift that was cut short, the greatest counts: a place
// that any rule sends requests to has weight.
func weighed(rules []rule, groups []targetGroup) map[convention.Colour]int {
	out := map[convention.Colour]int{}
	for _, r := range rules {
		for _, a := range r.actions {
			for _, t := range forwarded(a) {
				for _, g := range groups {
					if g.arn == aws.ToString(t.TargetGroupArn) && g.colour != "" {
						out[g.colour] = max(out[g.colour], int(aws.ToInt32(t.Weight)))
					}
				}
			}
		}
	}
	return out
}

// byPlace says which place gets which weight. It refuses what contradicts
// itself; whether there are instances to serve it does not ask.
func (v *deployment) byPlace(weights fleet.Weights) (map[convention.Colour]int, error) {
	out, total := map[convention.Colour]int{}, 0
	for release, w := range weights {
		p := v.holding(release)
		switch {
		case w < 0:
			return nil, fmt.Errorf("weight %d for release %d of %s: %w", w, release, v, site.ErrInvalid)
		case w > 0 && p == nil:
			return nil, fmt.Errorf("weight %d for release %d of %s, which is in no place; there are %s: %w", w, release, v, v.releases(), site.ErrInvalid)
		case p != nil:
			out[p.colour] = w
		}
		total += w
	}
	if total == 0 && !v.withdrawn() {
		return nil, fmt.Errorf("no release of %s would have weight: %w", v, site.ErrInvalid)
	}
	return fitting(out), nil
}

// releases are those that are there, in words.
func (v *deployment) releases() string {
	var all []string
	for _, p := range v.places {
		if p.release > 0 {
			all = append(all, fmt.Sprintf("release %d (%s)", p.release, p.colour))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, " and ")
}
