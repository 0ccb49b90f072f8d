package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// instanceMetadata: credentials of an instance are for itself, not for whoever
// makes it send a request.
func instanceMetadata(w *world) {
	for _, r := range w.of("aws_launch_template", "aws_instance") {
		m := r.Values.Block("metadata_options")
		if !m.May("http_tokens", "required") {
			w.breaks(r, "its instances answer IMDSv1", `set metadata_options { http_tokens = "required" }`)
		}
		if !m.May("http_put_response_hop_limit", "1") {
			w.breaks(r, "its metadata can be reached over "+m.Text("http_put_response_hop_limit")+" hops", "set http_put_response_hop_limit = 1")
		}
	}
	for _, r := range w.of("aws_ec2_instance_metadata_defaults") {
		if !r.Values.May("http_tokens", "required") {
			w.breaks(r, "instances that nobody said anything about answer IMDSv1", `set http_tokens = "required"`)
		}
	}
}

// noSSH: images are replaced, nobody logs in.
func noSSH(w *world) {
	for _, r := range w.of("aws_launch_template", "aws_instance") {
		if r.Values.Text("key_name") != "" {
			w.breaks(r, "its instances have an SSH key", "remove key_name")
		}
	}
	for _, r := range w.of("aws_key_pair") {
		w.breaks(r, "it is an SSH key", "remove it: images are replaced, nobody logs in")
	}
	for _, g := range w.gates {
		if g.ingress && g.opens(22) {
			w.breaks(g.by, "port 22 is open", "close it")
		}
	}
}

// pinnedVersion: a group starts one version, by its number; see
// terraform-provider-aws issues 34189 and 42355 for what $Latest does.
func pinnedVersion(w *world) {
	for _, r := range w.of("aws_autoscaling_group", "aws_instance") {
		specifications := r.Values.Blocks("launch_template")
		for _, mixed := range r.Values.Blocks("mixed_instances_policy") {
			t := mixed.Block("launch_template")
			specifications = append(specifications, t.Blocks("launch_template_specification")...)
			for _, override := range t.Blocks("override") {
				specifications = append(specifications, override.Blocks("launch_template_specification")...)
			}
		}
		for _, s := range specifications {
			version := s.Text("version")
			if n, err := strconv.Atoi(version); !s.Unknown("version") && (err != nil || n < 1) {
				w.breaks(r, "it starts version "+either(version, "$Default"), "name a number: what $Latest or $Default starts changes under it, and cannot be rolled back")
			}
		}
		if r.Values.Text("launch_configuration") != "" {
			w.breaks(r, "it starts from a launch configuration, which has no versions", "use launch_template")
		}
	}
}

// targetGroups: a target group belongs to one group of instances, by one way of
// attaching, and to one load balancer.
func targetGroups(w *world) {
	holders := map[string]string{}
	for _, r := range w.of("aws_autoscaling_group") {
		for _, arn := range targetGroupsOf(r) {
			if other, taken := holders[arn]; taken {
				w.breaks(r, "its target group is attached to "+other+" as well", "attach a target group once")
			}
			holders[arn] = r.Address
		}
	}
	for _, a := range w.attachments() {
		if a.target == "" {
			continue
		}
		if holder, taken := holders[a.target]; taken {
			w.breaks(a.by, "its target group is attached by "+holder+" already", "attach it through the group's target_group_arns only: the two would undo each other")
		} else if a.by.Type != "aws_lb_target_group_attachment" { // which is one of many
			holders[a.target] = a.by.Address
		}
	}
	balancers := map[string]string{}
	for _, f := range w.forwards() {
		balancer := f.listener.Values.Text("load_balancer_arn")
		if other := balancers[f.group]; balancer != "" && other != "" && other != balancer {
			r, ok := w.with("aws_lb_target_group", "arn", f.group)
			if !ok {
				r = f.listener
			}
			w.breaks(r, "two load balancers forward to it", "AWS allows one: make a target group for each")
		}
		balancers[f.group] = either(balancer, balancers[f.group])
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
		v := lb.Values
		if v.May("load_balancer_type", "application", "") && !v.May("drop_invalid_header_fields", "true") {
			w.breaks(lb, "it lets malformed headers through", "set drop_invalid_header_fields = true")
		}
		if !v.May("internal", "true") && !v.Block("access_logs").May("enabled", "true") {
			w.breaks(lb, "it has no access log", "set access_logs { enabled = true }")
		}
	}
	for _, r := range w.of("aws_lb_listener") {
		w.listener(r)
	}
}

func (w *world) listener(r Resource) {
	balancer, known := w.with("aws_lb", "arn", r.Values.Text("load_balancer_arn"))
	public := known && !balancer.Values.May("internal", "true")
	switch protocol := r.Values.Text("protocol"); {
	case r.Values.Unknown("protocol"):
	case protocol == "HTTPS" || protocol == "TLS":
		if !modern(r.Values) {
			w.breaks(r, "it speaks "+either(r.Values.Text("ssl_policy"), "the default policy"), "take a policy with TLS 1.3, and nothing below 1.2 or without forward secrecy")
		}
	case public && protocol != "HTTP":
		w.breaks(r, "it answers without TLS", "take HTTPS or TLS")
	case public:
		actions := r.Values.Blocks("default_action")
		for _, rule := range w.of("aws_lb_listener_rule") {
			if rule.Values.Text("listener_arn") == r.Values.Text("arn") {
				actions = append(actions, rule.Values.Blocks("action")...)
			}
		}
		if slices.ContainsFunc(actions, plain) {
			w.breaks(r, "it answers without TLS", "redirect to HTTPS")
		}
	}
}

// plain: the action is anything else than to say that HTTPS is wanted.
func plain(action Values) bool {
	return !action.May("type", "redirect") || !action.Block("redirect").May("protocol", "HTTPS")
}

// modern: TLS 1.3 and 1.2 with forward secrecy.
func modern(v Values) bool {
	if v.Unknown("ssl_policy") {
		return true
	}
	versions, ok := strings.CutPrefix(v.Text("ssl_policy"), "ELBSecurityPolicy-TLS13-1-")
	return ok && (strings.HasPrefix(versions, "2-") || strings.HasPrefix(versions, "3-")) && !strings.Contains(versions, "-Ext")
}

// shield: whatever is public has a web ACL that refuses who asks too often.
func shield(w *world) {
	for _, lb := range w.of("aws_lb") {
		arn := lb.Values.Text("arn")
		if lb.Values.May("internal", "true") || arn == "" {
			continue
		}
		if w.lacks("aws_wafv2_web_acl_association", "resource_arn", arn) {
			w.breaks(lb, "no shield stands before it", "add aws_wafv2_web_acl_association")
			continue
		}
		a, _ := w.with("aws_wafv2_web_acl_association", "resource_arn", arn)
		if lb.Values.True("enable_waf_fail_open") {
			w.breaks(lb, "without its shield it lets everybody in", "set enable_waf_fail_open = false")
		}
		acl, ok := w.with("aws_wafv2_web_acl", "arn", a.Values.Text("web_acl_arn"))
		if ok && !acl.Values.Unknown("rule") && !slices.ContainsFunc(acl.Values.Blocks("rule"), limits) {
			w.breaks(acl, "it limits no rate", "add a rule with rate_based_statement that blocks")
		}
	}
}

// limits: a rule refuses who asks too often, rather than to count them.
func limits(rule Values) bool {
	return rule.Block("statement").Has("rate_based_statement") && rule.Block("action").Has("block")
}

// parameters are what a database needs so that data can move, and only encrypted.
var parameters = []struct{ name, value, why string }{
	{"rds.logical_replication", "1", "it has no logical replication: nothing could move in or out"},
	{"rds.force_ssl", "1", "it takes connections without TLS"},
}

// databases are kept, in two zones, out of reach, and can replicate.
func databases(w *world) {
	for _, r := range w.of("aws_db_instance") {
		v := r.Values
		days := v.Int("backup_retention_period")
		for _, c := range []struct {
			good      bool
			why, mend string
		}{
			{v.May("publicly_accessible", "false", ""), "it has a public address", "set publicly_accessible = false"},
			{v.May("multi_az", "true"), "it is in one zone", "set multi_az = true"},
			{v.Unknown("backup_retention_period") || days >= 7, fmt.Sprintf("its backups are kept for %d days", days), "set backup_retention_period to 7 or more"},
			{!w.Protected || v.May("deletion_protection", "true"), "it can be deleted, in a protected environment", "set deletion_protection = true"},
			{!w.Protected || v.May("skip_final_snapshot", "false", ""), "it would be deleted without a last snapshot", "set skip_final_snapshot = false"},
		} {
			if !c.good {
				w.breaks(r, c.why, c.mend)
			}
		}
		w.parametersOf(r)
	}
}

func (w *world) parametersOf(r Resource) {
	name := r.Values.Text("parameter_group_name")
	group, ok := w.with("aws_db_parameter_group", "name", name)
	if !r.Values.Unknown("parameter_group_name") && w.lacks("aws_db_parameter_group", "name", name) {
		w.breaks(r, "its parameters are those of RDS: it has no logical replication", "give it an aws_db_parameter_group")
	}
	if !ok || group.Values.Unknown("parameter") {
		return
	}
	for _, p := range parameters {
		if !slices.ContainsFunc(group.Values.Blocks("parameter"), func(set Values) bool {
			return set.May("name", p.name) && set.May("value", p.value)
		}) {
			w.breaks(group, p.why, "set "+p.name+" = "+p.value)
		}
	}
}

// secretive are values that end in the state, by type.
var secretive = []struct{ kind, attribute string }{
	{"aws_db_instance", "password"}, {"aws_rds_cluster", "master_password"},
	{"aws_secretsmanager_secret_version", "secret_string"}, {"aws_secretsmanager_secret_version", "secret_binary"},
	{"random_password", "result"}, {"tls_private_key", "private_key_pem"},
}

// secrets are in Secrets Manager, and nowhere else.
func secrets(w *world) {
	for _, s := range secretive {
		for _, r := range w.of(s.kind) {
			if r.Values.Text(s.attribute) != "" {
				w.breaks(r, "its "+s.attribute+" is in Terraform's state", "let AWS make it, or fill the secret from elsewhere")
			}
		}
	}
	for _, r := range w.of("aws_db_instance") {
		if !r.Values.May("manage_master_user_password", "true") {
			w.breaks(r, "somebody has to know its password", "set manage_master_user_password = true")
		}
	}
	for _, r := range w.of("aws_vpn_connection") {
		if !r.Values.May("preshared_key_storage", "SecretsManager") {
			w.breaks(r, "the keys of its tunnels are in Terraform's state", `set preshared_key_storage = "SecretsManager"`)
		}
	}
	for _, r := range w.of("aws_ssm_parameter") {
		if r.Values.Text("type") == "SecureString" && r.Values.Text("value") != "" {
			w.breaks(r, "its value is in Terraform's state", "fill it from elsewhere")
		}
	}
}
