package policy

import "slices"

// forward is that a listener of a load balancer sends requests to a target group.
type forward struct {
	listener Resource
	group    string // arn of the target group
}

// forwards are all of them, as far as they are known; those of a listener's
// rules included.
func (w *world) forwards() []forward {
	var all []forward
	add := func(listener Resource, actions []Values) {
		for _, action := range actions {
			for _, arn := range targetsOf(action) {
				all = append(all, forward{listener, arn})
			}
		}
	}
	for _, l := range w.of("aws_lb_listener") {
		add(l, l.Values.Blocks("default_action"))
	}
	for _, r := range w.of("aws_lb_listener_rule") {
		if l, ok := w.with("aws_lb_listener", "arn", r.Values.Text("listener_arn")); ok {
			add(l, r.Values.Blocks("action"))
		}
	}
	return all
}

func targetsOf(action Values) []string {
	if action.Text("type") != "forward" {
		return nil
	}
	var all []string
	if arn := action.Text("target_group_arn"); arn != "" {
		all = append(all, arn)
	}
	for _, g := range action.Block("forward").Blocks("target_group") {
		if arn := g.Text("arn"); arn != "" && !slices.Contains(all, arn) {
			all = append(all, arn)
		}
	}
	return all
}

// targetGroupsOf are the target groups that an Auto Scaling group registers its
// instances in, by its own arguments.
func targetGroupsOf(group Resource) []string {
	all := group.Values.Texts("target_group_arns")
	for _, source := range group.Values.Blocks("traffic_source") {
		if arn := source.Text("identifier"); arn != "" && !slices.Contains(all, arn) {
			all = append(all, arn)
		}
	}
	return all
}

// attachment is a resource that puts a group's instances, or one target, into a
// target group.
type attachment struct {
	by            Resource
	group, target string // name of the Auto Scaling group, arn of the target group
}

func (w *world) attachments() []attachment {
	var all []attachment
	for _, r := range w.of("aws_autoscaling_attachment") {
		all = append(all, attachment{r, r.Values.Text("autoscaling_group_name"), r.Values.Text("lb_target_group_arn")})
	}
	for _, r := range w.of("aws_autoscaling_traffic_source_attachment") {
		all = append(all, attachment{r, r.Values.Text("autoscaling_group_name"), r.Values.Block("traffic_source").Text("identifier")})
	}
	for _, r := range w.of("aws_lb_target_group_attachment", "aws_alb_target_group_attachment") {
		all = append(all, attachment{r, "", r.Values.Text("target_group_arn")})
	}
	return all
}
