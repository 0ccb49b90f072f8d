package main

// movesWithEveryChange are read-only attributes that any change makes unknown.
func movesWithEveryChange(kind string) []string {
	switch kind {
	case "aws_launch_template":
		return []string{"latest_version"}
	case "aws_wafv2_web_acl", "aws_wafv2_ip_set", "aws_wafv2_rule_group":
		return []string{"lock_token"}
	case "aws_ssm_parameter":
		return []string{"version"}
	}
	return nil
}

// needsNew says what can't be changed in place. The package that the schema is
// made from does not say so; this is for what landscapes render to.
func needsNew(kind, name string) bool {
	switch name {
	case "name":
		switch kind {
		case "aws_db_instance", "aws_imagebuilder_workflow", "aws_budgets_budget":
			return false
		}
		return true
	case "name_prefix", "vpc_id", "bucket", "bucket_prefix", "policy_arn", "autoscaling_group_name", "alarm_name",
		"availability_zone", "scope", "family", "region":
		return true
	}
	switch kind + "." + name {
	case "aws_vpc.cidr_block", "aws_subnet.cidr_block", "aws_security_group.description",
		"aws_vpc_security_group_ingress_rule.security_group_id", "aws_vpc_security_group_egress_rule.security_group_id",
		"aws_lb.internal", "aws_lb.load_balancer_type", "aws_lb_target_group.port", "aws_lb_target_group.protocol",
		"aws_lb_target_group.target_type", "aws_lb_listener.load_balancer_arn", "aws_lb_listener_rule.listener_arn",
		"aws_db_instance.engine", "aws_db_instance.username", "aws_db_instance.db_name",
		"aws_db_instance.storage_encrypted", "aws_db_instance.kms_key_id",
		"aws_nat_gateway.subnet_id", "aws_nat_gateway.allocation_id", "aws_route.route_table_id",
		"aws_route.destination_cidr_block", "aws_route_table_association.subnet_id",
		"aws_iam_role_policy.role", "aws_iam_role_policy_attachment.role", "aws_iam_role.path", "aws_iam_policy.path",
		"aws_kms_alias.target_key_id", "aws_sns_topic_subscription.endpoint", "aws_sns_topic_subscription.protocol",
		"aws_sns_topic_subscription.topic_arn", "aws_acm_certificate.domain_name",
		"aws_acm_certificate.subject_alternative_names", "aws_acm_certificate.validation_method",
		"aws_wafv2_web_acl_association.resource_arn", "aws_wafv2_web_acl_association.web_acl_arn",
		"aws_wafv2_ip_set.ip_address_version", "aws_autoscaling_schedule.scheduled_action_name",
		"aws_secretsmanager_secret_version.secret_id", "aws_vpc_endpoint.service_name",
		"aws_vpc_endpoint.vpc_endpoint_type", "aws_flow_log.log_destination", "aws_flow_log.traffic_type",
		"aws_route53_record.zone_id", "aws_route53_record.type", "aws_cloudwatch_log_metric_filter.log_group_name":
		return true
	}
	return false
}
