package policy

// forward is that a listener sends requests to a target group.
type forward struct {
	group string // arn
	by    Resource
}

// forwards are those of each listener, by its arn, rules included.
func (w *world) forwards() map[string][]forward {
	all := map[string][]forward{}
	for _, l := range w.of("aws_lb_listener") {
		for _, action := range l.Values.Blocks("default_action") {
			all[l.Values.Text("arn")] = append(all[l.Values.Text("arn")], targets(action, l)...)
		}
	}
	for _, r := range w.of("aws_lb_listener_rule") {
		for _, action := range r.Values.Blocks("action") {
			listener := r.Values.Text("listener_arn")
			all[listener] = append(all[listener], targets(action, r)...)
		}
	}
	return all
}

func targets(action Values, by Resource) []forward {
	if action.Text("type") != "forward" {
		return nil
	}
	var all []forward
	if arn := action.Text("target_group_arn"); arn != "" {
		all = append(all, forward{arn, by})
	}
	for _, f := range action.Blocks("forward") {
		for _, g := range f.Blocks("target_group") {
			all = append(all, forward{g.Text("arn"), by})
		}
	}
	return all
}

func (w *world) listenerBalancer(arn string) string {
	l, _ := w.with("aws_lb_listener", "arn", arn)
	return l.Values.Text("load_balancer_arn")
}
