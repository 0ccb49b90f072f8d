package main

import (
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// prefixes of ids that EC2 chooses.
func prefix(kind string) string {
	switch kind {
	case "aws_vpc", "aws_default_vpc":
		return "vpc"
	case "aws_subnet", "aws_default_subnet":
		return "subnet"
	case "aws_security_group", "aws_default_security_group":
		return "sg"
	case "aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule":
		return "sgr"
	case "aws_security_group_rule":
		return "sgrule"
	case "aws_internet_gateway":
		return "igw"
	case "aws_egress_only_internet_gateway":
		return "eigw"
	case "aws_nat_gateway":
		return "nat"
	case "aws_eip":
		return "eipalloc"
	case "aws_route_table", "aws_default_route_table":
		return "rtb"
	case "aws_route_table_association", "aws_main_route_table_association":
		return "rtbassoc"
	case "aws_route":
		return "r-rtb"
	case "aws_network_acl", "aws_default_network_acl":
		return "acl"
	case "aws_network_acl_association":
		return "aclassoc"
	case "aws_network_acl_rule":
		return "nacl"
	case "aws_vpc_endpoint":
		return "vpce"
	case "aws_flow_log":
		return "fl"
	case "aws_launch_template":
		return "lt"
	case "aws_instance":
		return "i"
	case "aws_ami", "aws_ami_copy", "aws_ami_from_instance":
		return "ami"
	case "aws_ebs_volume":
		return "vol"
	case "aws_network_interface":
		return "eni"
	case "aws_customer_gateway":
		return "cgw"
	case "aws_vpn_gateway":
		return "vgw"
	case "aws_vpn_connection":
		return "vpn"
	case "aws_ec2_managed_prefix_list":
		return "pl"
	case "aws_vpc_dhcp_options":
		return "dopt"
	}
	return ""
}

// namedBy is the argument that is a resource's id, for those that have such a one.
func namedBy(kind string) []string {
	switch kind {
	case "aws_iam_role", "aws_iam_instance_profile", "aws_iam_user", "aws_iam_group", "aws_autoscaling_group",
		"aws_autoscaling_policy", "aws_autoscaling_lifecycle_hook", "aws_cloudwatch_log_group", "aws_db_parameter_group",
		"aws_db_subnet_group", "aws_db_option_group", "aws_kms_alias", "aws_dynamodb_table", "aws_ssm_parameter",
		"aws_cloudwatch_log_metric_filter", "aws_cloudwatch_event_rule", "aws_ssm_document":
		return []string{"name"}
	case "aws_cloudwatch_metric_alarm", "aws_cloudwatch_composite_alarm":
		return []string{"alarm_name"}
	case "aws_cloudwatch_dashboard":
		return []string{"dashboard_name"}
	case "aws_autoscaling_schedule":
		return []string{"scheduled_action_name"}
	case "aws_accessanalyzer_analyzer":
		return []string{"analyzer_name"}
	case "aws_key_pair":
		return []string{"key_name"}
	case "aws_cloudwatch_log_resource_policy":
		return []string{"policy_name"}
	case "aws_iam_role_policy":
		return []string{"role", "name"}
	case "aws_iam_role_policy_attachment":
		return []string{"role", "policy_arn"}
	case "aws_sns_topic_policy":
		return []string{"arn"}
	case "aws_secretsmanager_secret_policy":
		return []string{"secret_arn"}
	case "aws_route53_record":
		return []string{"zone_id", "name", "type", "set_identifier"}
	case "aws_wafv2_web_acl_association":
		return []string{"web_acl_arn", "resource_arn"}
	case "aws_lb_listener_certificate":
		return []string{"listener_arn", "certificate_arn"}
	case "aws_s3_object":
		return []string{"bucket", "key"}
	case "aws_autoscaling_attachment":
		return []string{"autoscaling_group_name", "lb_target_group_arn", "elb"}
	case "aws_vpc_endpoint_route_table_association":
		return []string{"vpc_endpoint_id", "route_table_id"}
	case "aws_kms_key_policy":
		return []string{"key_id"}
	case "aws_ebs_encryption_by_default", "aws_s3_account_public_access_block", "aws_ec2_instance_metadata_defaults",
		"aws_iam_account_password_policy":
		return []string{}
	}
	if strings.HasPrefix(kind, "aws_s3_bucket") {
		return []string{"bucket"}
	}
	return nil
}

// arnIsID are those whose id is their arn.
func arnIsID(kind string) bool {
	switch kind {
	case "aws_lb", "aws_lb_target_group", "aws_lb_listener", "aws_lb_listener_rule", "aws_sns_topic",
		"aws_sns_topic_subscription", "aws_secretsmanager_secret", "aws_acm_certificate", "aws_iam_policy", "aws_cloudtrail":
		return true
	}
	return strings.HasPrefix(kind, "aws_imagebuilder_")
}

func (i *inventor) string(name, path string) string {
	switch name {
	case "id":
		return i.id()
	case "arn":
		return i.arn()
	case "name", "bucket", "identifier":
		if path == name {
			return i.name(name)
		}
	case "owner_id", "account_id", "registry_id":
		return account
	case "availability_zone":
		return i.settings.region + "a"
	case "zone_id", "hosted_zone_id":
		return "Z" + strings.ToUpper(i.hex(13, name))
	case "dns_name":
		return i.text("name") + "-" + i.hex(9, name) + "." + i.settings.region + ".elb.amazonaws.com"
	case "arn_suffix":
		_, suffix, _ := strings.Cut(i.arn(), ":loadbalancer/")
		if suffix == "" {
			_, suffix, _ = strings.Cut(i.arn(), account+":")
		}
		return suffix
	case "address":
		return i.text("identifier") + "." + i.hex(12, "rds") + "." + i.settings.region + ".rds.amazonaws.com"
	case "endpoint":
		return i.string("address", "address") + ":5432"
	case "public_ip":
		return "203.0.113." + i.octet()
	case "private_ip":
		return "192.0.2." + i.octet()
	case "key_id":
		return i.text("id")
	case "resource_id":
		return "db-" + strings.ToUpper(i.hex(26, name))
	case "allocation_id":
		return i.text("id")
	case "unique_id":
		return "AROA" + strings.ToUpper(i.hex(17, name))
	case "version_id":
		return i.uuid(name)
	case "create_date", "creation_date", "created_date":
		return "2026-01-01T00:00:00Z"
	case "bucket_domain_name":
		return i.text("bucket") + ".s3.amazonaws.com"
	case "bucket_regional_domain_name":
		return i.text("bucket") + ".s3." + i.settings.region + ".amazonaws.com"
	case "bucket_region":
		return i.settings.region
	case "name_prefix", "bucket_prefix":
		return ""
	case "fqdn":
		return i.text("name")
	case "certificate_arn":
		return i.text("certificate_arn")
	}
	return i.byEnding(name)
}

// byEnding gives ids of other things, such as a VPC's default security group.
func (i *inventor) byEnding(name string) string {
	for _, of := range [][2]string{
		{"security_group_id", "sg"}, {"network_acl_id", "acl"}, {"route_table_id", "rtb"}, {"dhcp_options_id", "dopt"},
		{"prefix_list_id", "pl"}, {"network_interface_id", "eni"}, {"security_group_rule_id", "sgr"},
		{"subnet_id", "subnet"}, {"instance_id", "i"}, {"association_id", "assoc"},
	} {
		if strings.HasSuffix(name, of[0]) {
			return of[1] + "-" + i.hex(17, name)
		}
	}
	if name == "vpc_id" {
		return i.vpcOfSubnets()
	}
	return ""
}

func (i *inventor) octet() string {
	n := i.hex(2, "octet")
	v := int(hexDigit(n[0]))*16 + int(hexDigit(n[1]))
	return itoa(1 + v%254)
}

func (i *inventor) name(of string) string {
	for _, p := range []string{of + "_prefix", "name_prefix"} {
		if start := i.text(p); start != "" {
			return start + "20260101" + i.hex(18, "name")
		}
	}
	if i.kind == "aws_route53_record" {
		return i.text("fqdn")
	}
	return "terraform-20260101" + i.hex(18, "name")
}

func (i *inventor) id() string {
	if by := namedBy(i.kind); by != nil {
		var parts []string
		for _, name := range by {
			if part := i.text(name); part != "" {
				parts = append(parts, part)
			}
		}
		if len(by) == 0 {
			return account
		}
		return strings.Join(parts, ":")
	}
	if p := prefix(i.kind); p != "" {
		return p + "-" + i.hex(17)
	}
	switch i.kind {
	case "aws_kms_key", "aws_wafv2_web_acl", "aws_wafv2_ip_set", "aws_wafv2_rule_group", "aws_wafv2_regex_pattern_set":
		return i.uuid()
	case "aws_route53_zone":
		return "Z" + strings.ToUpper(i.hex(13, "zone_id"))
	case "aws_db_instance":
		return "db-" + strings.ToUpper(i.hex(26, "resource_id"))
	}
	short := strings.TrimPrefix(i.kind, "aws_")
	return strings.ReplaceAll(short, "_", "-") + "-" + i.hex(17)
}

// vpcOfSubnets finds the VPC that a load balancer's subnets are in.
func (i *inventor) vpcOfSubnets() string {
	subnets, ok := i.made["subnets"]
	if !ok || subnets.IsNull() || !subnets.IsWhollyKnown() {
		return ""
	}
	for _, v := range subnets.AsValueSlice() {
		if v.Type() != cty.String {
			continue
		}
		found, _, err := i.world.get("aws_subnet", "aws_subnet/"+i.settings.region+"/"+v.AsString())
		if err == nil {
			if vpc := member(found.State, "vpc_id"); vpc != "" {
				return vpc
			}
		}
	}
	return ""
}
