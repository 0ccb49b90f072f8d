package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/zclconf/go-cty/cty"
)

// checkRules are the rules beyond the schema that the AWS provider has and that
// configurations break without anyone seeing it: arguments that exclude each
// other, lengths of names, documents that are none. What is not known yet is let
// pass, as the provider does.
func checkRules(kind string, config cty.Value) []*tfprotov5.Diagnostic {
	var all []*tfprotov5.Diagnostic
	for _, check := range []func(string, cty.Value) []*tfprotov5.Diagnostic{
		checkConflicts, checkChoices, checkLengths, checkAddresses, checkDocuments, checkValues,
	} {
		all = append(all, check(kind, config)...)
	}
	return all
}

func wrong(name, form string, args ...any) *tfprotov5.Diagnostic {
	return &tfprotov5.Diagnostic{
		Severity: tfprotov5.DiagnosticSeverityError, Summary: "Invalid value of " + name, Detail: fmt.Sprintf(form, args...),
		Attribute: attributePath(name),
	}
}

// unconfigurable finds values for what can only be read.
func unconfigurable(b *block, config cty.Value) []*tfprotov5.Diagnostic {
	if config.IsNull() || !config.IsKnown() {
		return nil
	}
	var all []*tfprotov5.Diagnostic
	for name, a := range b.Attributes {
		if v := config.GetAttr(name); a.computed && !a.optional && !a.required && !v.IsNull() {
			all = append(all, &tfprotov5.Diagnostic{
				Severity: tfprotov5.DiagnosticSeverityError, Summary: "Value for unconfigurable attribute",
				Detail:    fmt.Sprintf("Can't configure a value for %q: AWS decides it.", name),
				Attribute: attributePath(name),
			})
		}
	}
	for name, n := range b.Blocks {
		v := config.GetAttr(name)
		if n.nesting == "single" {
			all = append(all, unconfigurable(n.block, v)...)
		} else if v.IsKnown() && !v.IsNull() {
			for _, item := range v.AsValueSlice() {
				all = append(all, unconfigurable(n.block, item)...)
			}
		}
	}
	return all
}

// set says whether an argument is given; an unknown one may turn out to be null.
func set(config cty.Value, name string) (given, known bool) {
	v := config.GetAttr(name)
	if !v.IsKnown() {
		return false, false
	}
	if t := v.Type(); !v.IsNull() && (t.IsListType() || t.IsSetType()) {
		return v.LengthInt() > 0, true
	}
	return !v.IsNull(), true
}

func checkConflicts(kind string, config cty.Value) []*tfprotov5.Diagnostic {
	pairs := map[string][][2]string{
		"":                                  {{"name", "name_prefix"}, {"bucket", "bucket_prefix"}, {"identifier", "identifier_prefix"}},
		"aws_db_instance":                   {{"password", "manage_master_user_password"}, {"password", "password_wo"}},
		"aws_autoscaling_group":             {{"availability_zones", "vpc_zone_identifier"}, {"launch_template", "mixed_instances_policy"}},
		"aws_launch_template":               {{"vpc_security_group_ids", "security_group_names"}, {"default_version", "update_default_version"}},
		"aws_lb":                            {{"subnets", "subnet_mapping"}},
		"aws_security_group_rule":           {{"cidr_blocks", "self"}, {"source_security_group_id", "cidr_blocks"}, {"source_security_group_id", "self"}},
		"aws_route53_record":                {{"alias", "records"}, {"alias", "ttl"}},
		"aws_secretsmanager_secret_version": {{"secret_string", "secret_binary"}, {"secret_string", "secret_string_wo"}},
		"aws_flow_log":                      {{"vpc_id", "subnet_id"}},
		"aws_wafv2_web_acl":                 {{"rule", "rule_json"}},
	}
	var all []*tfprotov5.Diagnostic
	for _, pair := range slices.Concat(pairs[""], pairs[kind]) {
		if !config.Type().HasAttribute(pair[0]) || !config.Type().HasAttribute(pair[1]) {
			continue
		}
		a, _ := set(config, pair[0])
		b, _ := set(config, pair[1])
		if a && b {
			all = append(all, wrong(pair[0], "%s conflicts with %s", pair[0], pair[1]))
		}
	}
	return all
}

// checkChoices: exactly one of some arguments has to be given.
func checkChoices(kind string, config cty.Value) []*tfprotov5.Diagnostic {
	source := []string{"cidr_ipv4", "cidr_ipv6", "prefix_list_id", "referenced_security_group_id"}
	choices := map[string][][]string{
		"aws_vpc_security_group_ingress_rule": {source},
		"aws_vpc_security_group_egress_rule":  {source},
		"aws_route": {
			{"destination_cidr_block", "destination_ipv6_cidr_block", "destination_prefix_list_id"},
			{"carrier_gateway_id", "core_network_arn", "egress_only_gateway_id", "gateway_id", "local_gateway_id",
				"nat_gateway_id", "network_interface_id", "odb_network_arn", "transit_gateway_id", "vpc_endpoint_id",
				"vpc_peering_connection_id"},
		},
		"aws_autoscaling_group":       {{"launch_configuration", "launch_template", "mixed_instances_policy"}},
		"aws_route_table_association": {{"subnet_id", "gateway_id"}},
		"aws_network_acl_rule":        {{"cidr_block", "ipv6_cidr_block"}},
		"aws_lb":                      {{"subnets", "subnet_mapping"}},
	}
	var all []*tfprotov5.Diagnostic
	for _, choice := range choices[kind] {
		var given []string
		unsure := false
		for _, name := range choice {
			if !config.Type().HasAttribute(name) {
				continue
			}
			is, known := set(config, name)
			unsure = unsure || !known
			if is {
				given = append(given, name)
			}
		}
		if len(given) > 1 || len(given) == 0 && !unsure {
			all = append(all, wrong(choice[0], "exactly one of %s has to be given, not %d", strings.Join(choice, ", "), len(given)))
		}
	}
	if kind == "aws_wafv2_web_acl" {
		all = append(all, checkWAFRules(config)...)
	}
	return all
}

func checkWAFRules(config cty.Value) []*tfprotov5.Diagnostic {
	rules := config.GetAttr("rule")
	if !rules.IsKnown() || rules.IsNull() {
		return nil
	}
	var all []*tfprotov5.Diagnostic
	seen := map[string]string{}
	for _, r := range rules.AsValueSlice() {
		if !r.IsKnown() {
			continue
		}
		name := text(r, "name")
		action, _ := set(r, "action")
		override, _ := set(r, "override_action")
		if action == override {
			all = append(all, wrong("rule", "rule %q needs exactly one of action and override_action", name))
		}
		if p := r.GetAttr("priority"); p.IsKnown() && !p.IsNull() {
			key := p.AsBigFloat().String()
			if other, taken := seen[key]; taken {
				all = append(all, wrong("rule", "rules %q and %q have the same priority %s", other, name, key))
			}
			seen[key] = name
		}
		all = append(all, oneStatement(name, r.GetAttr("statement"))...)
	}
	return all
}

func oneStatement(rule string, statements cty.Value) []*tfprotov5.Diagnostic {
	if !statements.IsKnown() || statements.IsNull() {
		return nil
	}
	for _, st := range statements.AsValueSlice() {
		if !st.IsKnown() {
			continue
		}
		given := 0
		for name := range st.Type().AttributeTypes() {
			if is, known := set(st, name); is || !known {
				given++
			}
		}
		if given != 1 {
			return []*tfprotov5.Diagnostic{wrong("rule", "rule %q: a statement holds exactly one condition, not %d", rule, given)}
		}
	}
	return nil
}

// checkLengths of names that AWS limits.
func checkLengths(kind string, config cty.Value) []*tfprotov5.Diagnostic {
	type limit struct {
		least, most int
		form        *regexp.Regexp
	}
	balanced := regexp.MustCompile(`^[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?$`)
	iam := regexp.MustCompile(`^[\w+=,.@-]+$`)
	limits := map[string]limit{
		"aws_lb.name": {1, 32, balanced}, "aws_lb_target_group.name": {1, 32, balanced},
		"aws_lb.name_prefix": {1, 6, nil}, "aws_lb_target_group.name_prefix": {1, 6, nil},
		"aws_iam_role.name": {1, 64, iam}, "aws_iam_role.name_prefix": {1, 38, iam},
		"aws_iam_policy.name": {1, 128, iam}, "aws_iam_instance_profile.name": {1, 128, iam},
		"aws_security_group.name":                         {1, 255, regexp.MustCompile(`^([^s]|s[^g]|sg[^-])`)},
		"aws_security_group.description":                  {0, 255, regexp.MustCompile(`^[0-9A-Za-z_ .:/()#,@\[\]+=&;{}!$*-]*$`)},
		"aws_vpc_security_group_ingress_rule.description": {0, 255, regexp.MustCompile(`^[0-9A-Za-z_ .:/()#,@\[\]+=&;{}!$*-]*$`)},
		"aws_vpc_security_group_egress_rule.description":  {0, 255, regexp.MustCompile(`^[0-9A-Za-z_ .:/()#,@\[\]+=&;{}!$*-]*$`)},
		"aws_launch_template.name":                        {3, 128, regexp.MustCompile(`^[0-9A-Za-z().\-/_]+$`)},
		"aws_autoscaling_group.name":                      {1, 255, nil},
		"aws_db_instance.identifier":                      {1, 63, regexp.MustCompile(`^[a-z](-?[a-z0-9]+)*$`)},
		"aws_db_parameter_group.name":                     {1, 255, regexp.MustCompile(`^[a-z](-?[a-z0-9]+)*$`)},
		"aws_db_subnet_group.name":                        {1, 255, regexp.MustCompile(`^[a-z0-9 ._-]+$`)},
		"aws_s3_bucket.bucket":                            {3, 63, regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`)},
		"aws_s3_bucket.bucket_prefix":                     {1, 37, nil},
		"aws_wafv2_web_acl.name":                          {1, 128, regexp.MustCompile(`^[0-9A-Za-z_-]+$`)},
		"aws_wafv2_ip_set.name":                           {1, 128, regexp.MustCompile(`^[0-9A-Za-z_-]+$`)},
		"aws_cloudwatch_log_group.name":                   {1, 512, regexp.MustCompile(`^[.\-_/#A-Za-z0-9]+$`)},
		"aws_cloudwatch_metric_alarm.alarm_name":          {1, 255, nil},
		"aws_kms_alias.name":                              {7, 256, regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]+$`)},
		"aws_sns_topic.name":                              {1, 256, regexp.MustCompile(`^[0-9A-Za-z_-]+(\.fifo)?$`)},
		"aws_secretsmanager_secret.name":                  {1, 512, regexp.MustCompile(`^[0-9A-Za-z/_+=.@-]+$`)},
		"aws_accessanalyzer_analyzer.analyzer_name":       {1, 255, regexp.MustCompile(`^[A-Za-z][0-9A-Za-z_.-]*$`)},
	}
	var all []*tfprotov5.Diagnostic
	for name := range config.Type().AttributeTypes() {
		l, ok := limits[kind+"."+name]
		value := text(config, name)
		if !ok || value == "" {
			continue
		}
		if len(value) < l.least || len(value) > l.most {
			all = append(all, wrong(name, "%s %q has %d characters, and may have %d to %d", name, value, len(value), l.least, l.most))
		} else if l.form != nil && !l.form.MatchString(value) {
			all = append(all, wrong(name, "%s %q is not of the form %s", name, value, l.form))
		}
	}
	return all
}

// checkAddresses: a network is written as its first address.
func checkAddresses(kind string, config cty.Value) []*tfprotov5.Diagnostic {
	var all []*tfprotov5.Diagnostic
	for _, name := range []string{"cidr_block", "cidr_ipv4", "cidr_ipv6", "destination_cidr_block", "ipv6_cidr_block"} {
		value := text(config, name)
		if value == "" {
			continue
		}
		p, err := netip.ParsePrefix(value)
		switch {
		case err != nil:
			all = append(all, wrong(name, "%q is not a network: %v", value, err))
		case p.Masked() != p:
			all = append(all, wrong(name, "%q is not a network: its first address is %s", value, p.Masked()))
		case kind == "aws_vpc" && (p.Bits() < 16 || p.Bits() > 28), kind == "aws_subnet" && name == "cidr_block" && (p.Bits() < 16 || p.Bits() > 28):
			all = append(all, wrong(name, "%q: a network has between /16 and /28", value))
		}
	}
	return all
}

// checkDocuments: policies are JSON, and IAM limits their size.
func checkDocuments(kind string, config cty.Value) []*tfprotov5.Diagnostic {
	var all []*tfprotov5.Diagnostic
	for _, name := range []string{"policy", "assume_role_policy", "access_policy", "policy_document", "dashboard_body", "rule_json"} {
		value := text(config, name)
		if value == "" {
			continue
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(value), &document); err != nil {
			all = append(all, wrong(name, "%s is not a JSON object: %v", name, err))
			continue
		}
		if limit := map[string]int{"aws_iam_policy": 6144, "aws_iam_role": 2048, "aws_iam_role_policy": 10240, "aws_s3_bucket_policy": 20480,
			"aws_kms_key": 32768}[kind]; limit > 0 && len(strings.Join(strings.Fields(value), "")) > limit {
			all = append(all, wrong(name, "%s has %d characters without spaces, and may have %d", name, len(strings.Join(strings.Fields(value), "")), limit))
		}
	}
	return all
}

// checkValues of some arguments that AWS takes only certain ones of.
func checkValues(kind string, config cty.Value) []*tfprotov5.Diagnostic {
	numbers := map[string]func(int64) bool{
		"aws_cloudwatch_log_group.retention_in_days": func(n int64) bool {
			return slices.Contains([]int64{0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}, n)
		},
		"aws_kms_key.deletion_window_in_days":               func(n int64) bool { return n >= 7 && n <= 30 },
		"aws_secretsmanager_secret.recovery_window_in_days": func(n int64) bool { return n == 0 || n >= 7 && n <= 30 },
		"aws_db_instance.backup_retention_period":           func(n int64) bool { return n >= 0 && n <= 35 },
		"aws_db_instance.monitoring_interval":               func(n int64) bool { return slices.Contains([]int64{0, 1, 5, 10, 15, 30, 60}, n) },
		"aws_lb.idle_timeout":                               func(n int64) bool { return n >= 1 && n <= 4000 },
		"aws_lb_target_group.port":                          func(n int64) bool { return n >= 1 && n <= 65535 },
		"aws_lb_target_group.slow_start":                    func(n int64) bool { return n == 0 || n >= 30 && n <= 900 },
		"aws_lb_listener_rule.priority":                     func(n int64) bool { return n >= 1 && n <= 50000 },
		"aws_flow_log.max_aggregation_interval":             func(n int64) bool { return n == 60 || n == 600 },
		"aws_autoscaling_lifecycle_hook.heartbeat_timeout":  func(n int64) bool { return n >= 30 && n <= 7200 },
	}
	strings := map[string][]string{
		"aws_lb_target_group.protocol":                        {"HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE", "QUIC", "TCP_QUIC"},
		"aws_lb_target_group.target_type":                     {"instance", "ip", "lambda", "alb"},
		"aws_lb_listener.protocol":                            {"HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE", "QUIC", "TCP_QUIC"},
		"aws_wafv2_web_acl.scope":                             {"REGIONAL", "CLOUDFRONT"},
		"aws_autoscaling_group.health_check_type":             {"EC2", "ELB", "EBS", "VPC_LATTICE"},
		"aws_autoscaling_policy.policy_type":                  {"SimpleScaling", "StepScaling", "TargetTrackingScaling", "PredictiveScaling"},
		"aws_autoscaling_lifecycle_hook.default_result":       {"CONTINUE", "ABANDON"},
		"aws_flow_log.traffic_type":                           {"ACCEPT", "REJECT", "ALL"},
		"aws_flow_log.log_destination_type":                   {"cloud-watch-logs", "s3", "kinesis-data-firehose"},
		"aws_vpc_endpoint.vpc_endpoint_type":                  {"Interface", "Gateway", "GatewayLoadBalancer", "Resource", "ServiceNetwork"},
		"aws_cloudwatch_metric_alarm.treat_missing_data":      {"breaching", "notBreaching", "ignore", "missing"},
		"aws_acm_certificate.validation_method":               {"DNS", "EMAIL", "NONE"},
		"aws_guardduty_detector.finding_publishing_frequency": {"FIFTEEN_MINUTES", "ONE_HOUR", "SIX_HOURS"},
	}
	var all []*tfprotov5.Diagnostic
	for name := range config.Type().AttributeTypes() {
		v := config.GetAttr(name)
		if v.IsNull() || !v.IsKnown() {
			continue
		}
		if allowed, ok := numbers[kind+"."+name]; ok {
			if n, _ := v.AsBigFloat().Int64(); !allowed(n) {
				all = append(all, wrong(name, "%s can't be %d", name, n))
			}
		}
		if allowed, ok := strings[kind+"."+name]; ok && !slices.Contains(allowed, v.AsString()) {
			all = append(all, wrong(name, "%s can't be %q, only one of %q", name, v.AsString(), allowed))
		}
	}
	return all
}
