package policy

import (
	"slices"
	"strconv"
	"strings"
)

// instanceMetadata: credentials of an instance are for itself, not for whoever
// makes it send a request.
func instanceMetadata(w *world) {
	for _, r := range w.of("aws_launch_template") {
		m := r.Values.Block("metadata_options")
		if m.Text("http_tokens") != "required" {
			w.breaks(r, "its instances answer IMDSv1", `set metadata_options { http_tokens = "required" }`)
		}
		if hops := m.Int("http_put_response_hop_limit"); hops != 1 {
			w.breaks(r, "its metadata can be reached over "+strconv.Itoa(hops)+" hops", "set http_put_response_hop_limit = 1")
		}
	}
}

// noSSH: images are replaced, nobody logs in.
func noSSH(w *world) {
	for _, r := range w.of("aws_launch_template") {
		if r.Values.Text("key_name") != "" {
			w.breaks(r, "its instances have an SSH key", "remove key_name")
		}
	}
	for _, r := range w.of("aws_vpc_security_group_ingress_rule") {
		if from, to := r.Values.Int("from_port"), r.Values.Int("to_port"); r.Values.Known("from_port") && from <= 22 && to >= 22 {
			w.breaks(r, "port 22 is open", "close it")
		}
	}
}

// pinnedVersion: a group starts one version, by its number; see
// terraform-provider-aws issues 34189 and 42355 for what $Latest does.
func pinnedVersion(w *world) {
	for _, r := range w.of("aws_autoscaling_group") {
		version := r.Values.Block("launch_template").Text("version")
		if _, err := strconv.Atoi(version); err != nil && version != "" {
			w.breaks(r, "it starts version "+version, "name a number: what $Latest starts changes under it, and cannot be rolled back")
		}
	}
}

// targetGroups: a target group belongs to one group of instances, by one way of
// attaching, and to one load balancer.
func targetGroups(w *world) {
	holders := map[string]string{}
	for _, r := range w.of("aws_autoscaling_group") {
		for _, arn := range r.Values.Texts("target_group_arns") {
			if other, taken := holders[arn]; taken {
				w.breaks(r, "its target group is attached to "+other+" as well", "attach a target group once")
			}
			holders[arn] = r.Address
		}
	}
	for _, kind := range []string{"aws_autoscaling_attachment", "aws_autoscaling_traffic_source_attachment", "aws_lb_target_group_attachment"} {
		for _, r := range w.of(kind) {
			arn := either(r.Values.Text("lb_target_group_arn"), r.Values.Text("target_group_arn"), r.Values.Block("traffic_source").Text("identifier"))
			if holder, taken := holders[arn]; taken {
				w.breaks(r, "its target group is attached by "+holder+" already", "attach it through the group's target_group_arns only: the two would undo each other")
			}
		}
	}
	balancers := map[string]string{}
	for listener, arns := range w.forwards() {
		for _, f := range arns {
			lb := w.listenerBalancer(listener)
			if other, taken := balancers[f.group]; taken && other != lb {
				r, _ := w.with("aws_lb_target_group", "arn", f.group)
				w.breaks(r, "two load balancers forward to it", "AWS allows one: make a target group for each")
			}
			balancers[f.group] = lb
		}
	}
}

func either(texts ...string) string {
	i := slices.IndexFunc(texts, func(s string) bool { return s != "" })
	if i < 0 {
		return ""
	}
	return texts[i]
}

// listeners: what is public speaks TLS 1.3 or 1.2, and 80 only says so.
func listeners(w *world) {
	for _, lb := range w.of("aws_lb") {
		if !lb.Values.True("drop_invalid_header_fields") {
			w.breaks(lb, "it lets malformed headers through", "set drop_invalid_header_fields = true")
		}
		if lb.Values.True("internal") {
			continue
		}
		if !lb.Values.Block("access_logs").True("enabled") {
			w.breaks(lb, "it has no access log", "set access_logs { enabled = true }")
		}
		for _, r := range w.of("aws_lb_listener") {
			if r.Values.Text("load_balancer_arn") == lb.Values.Text("arn") && lb.Values.Known("arn") {
				w.listener(r)
			}
		}
	}
}

func (w *world) listener(r Resource) {
	switch protocol := r.Values.Text("protocol"); protocol {
	case "HTTPS", "TLS":
		if policy := r.Values.Text("ssl_policy"); !strings.HasPrefix(policy, "ELBSecurityPolicy-TLS13-1-") || strings.Contains(policy, "TLS13-1-0") || strings.Contains(policy, "TLS13-1-1") {
			w.breaks(r, "it speaks "+either(policy, "the default policy"), "take a policy with TLS 1.3 and not below 1.2")
		}
	case "HTTP":
		for _, action := range r.Values.Blocks("default_action") {
			if action.Text("type") != "redirect" || action.Block("redirect").Text("protocol") != "HTTPS" {
				w.breaks(r, "it answers without TLS", "redirect to HTTPS")
			}
		}
	}
}

// shield: whatever is public has a web ACL with a limit of rates.
func shield(w *world) {
	for _, lb := range w.of("aws_lb") {
		if lb.Values.True("internal") || !lb.Values.Known("arn") {
			continue
		}
		a, ok := w.with("aws_wafv2_web_acl_association", "resource_arn", lb.Values.Text("arn"))
		if !ok {
			w.breaks(lb, "no shield stands before it", "add aws_wafv2_web_acl_association")
			continue
		}
		acl, ok := w.with("aws_wafv2_web_acl", "arn", a.Values.Text("web_acl_arn"))
		if ok && !slices.ContainsFunc(acl.Values.Blocks("rule"), func(r Values) bool {
			return r.Block("statement").Block("rate_based_statement") != nil
		}) {
			w.breaks(acl, "it limits no rate", "add a rule with rate_based_statement")
		}
	}
}

// databases are kept, in two zones, out of reach, and can replicate.
func databases(w *world) {
	for _, r := range w.of("aws_db_instance") {
		v := r.Values
		for _, c := range []struct {
			bad       bool
			why, mend string
		}{
			{v.True("publicly_accessible"), "it has a public address", "set publicly_accessible = false"},
			{!v.True("multi_az"), "it is in one zone", "set multi_az = true"},
			{v.Int("backup_retention_period") < 7, "its backups are kept less than 7 days", "set backup_retention_period"},
			{!v.True("manage_master_user_password"), "its password is in Terraform's state", "set manage_master_user_password = true"},
			{v.Text("password") != "", "its password is in Terraform's state", "remove password"},
			{w.Protected && !v.True("deletion_protection"), "it can be deleted, in a protected environment", "set deletion_protection = true"},
			{w.Protected && v.True("skip_final_snapshot"), "it would be deleted without a last snapshot", "set skip_final_snapshot = false"},
		} {
			if c.bad {
				w.breaks(r, c.why, c.mend)
			}
		}
		w.replicates(r)
	}
	for _, r := range w.of("aws_secretsmanager_secret_version") {
		w.breaks(r, "its secret is in Terraform's state", "make the secret empty; godwit fills it")
	}
}

func (w *world) replicates(r Resource) {
	group, ok := w.with("aws_db_parameter_group", "name", r.Values.Text("parameter_group_name"))
	if !ok {
		return
	}
	for _, p := range group.Values.Blocks("parameter") {
		if p.Text("name") == "rds.logical_replication" && p.Text("value") == "1" {
			return
		}
	}
	w.breaks(group, "it has no logical replication: nothing could move in or out", "set rds.logical_replication = 1")
}
