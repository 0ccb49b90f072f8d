package main

import (
	"encoding/json"
	"strconv"
	"strings"
)

func (i *inventor) arn() string {
	if known := i.text("arn"); known != "" {
		return known
	}
	region := i.settings.region
	if r := i.text("region"); r != "" {
		region = r
	}
	of := func(service, rest string) string {
		return "arn:aws:" + service + ":" + region + ":" + account + ":" + rest
	}
	for _, form := range []func(func(service, rest string) string) string{i.identityARN, i.servingARN, i.keptARN} {
		if arn := form(of); arn != "" {
			return arn
		}
	}
	if service := ec2Part(prefix(i.kind)); service != "" {
		return of("ec2", service+"/"+i.text("id"))
	}
	service, what, _ := strings.Cut(strings.TrimPrefix(i.kind, "aws_"), "_")
	return of(service, strings.ReplaceAll(what, "_", "-")+"/"+i.hex(17))
}

// identityARN is that of who may do something: it has no region.
func (i *inventor) identityARN(func(service, rest string) string) string {
	name := i.text("name")
	iam := func(what string) string {
		path := i.text("path")
		if path == "" {
			path = "/"
		}
		return "arn:aws:iam::" + account + ":" + what + path + name
	}
	switch i.kind {
	case "aws_iam_role":
		return iam("role")
	case "aws_iam_policy":
		return iam("policy")
	case "aws_iam_instance_profile":
		return iam("instance-profile")
	case "aws_iam_user":
		return iam("user")
	case "aws_iam_group":
		return iam("group")
	}
	return ""
}

// servingARN is that of what serves or stores.
func (i *inventor) servingARN(of func(service, rest string) string) string {
	name := i.text("name")
	switch i.kind {
	case "aws_s3_bucket":
		return "arn:aws:s3:::" + i.text("bucket")
	case "aws_lb":
		return of("elasticloadbalancing", "loadbalancer/app/"+name+"/"+i.hex(16))
	case "aws_lb_target_group":
		return of("elasticloadbalancing", "targetgroup/"+name+"/"+i.hex(16))
	case "aws_lb_listener":
		_, lb, _ := strings.Cut(i.text("load_balancer_arn"), ":loadbalancer/")
		return of("elasticloadbalancing", "listener/"+lb+"/"+i.hex(16))
	case "aws_lb_listener_rule":
		_, listener, _ := strings.Cut(i.text("listener_arn"), ":listener/")
		return of("elasticloadbalancing", "listener-rule/"+listener+"/"+i.hex(16))
	case "aws_autoscaling_group":
		return of("autoscaling", "autoScalingGroup:"+i.uuid()+":autoScalingGroupName/"+name)
	case "aws_autoscaling_policy":
		return of("autoscaling", "scalingPolicy:"+i.uuid()+":autoScalingGroupName/"+i.text("autoscaling_group_name")+":policyName/"+name)
	case "aws_db_instance":
		return of("rds", "db:"+i.text("identifier"))
	case "aws_db_parameter_group":
		return of("rds", "pg:"+name)
	case "aws_db_subnet_group":
		return of("rds", "subgrp:"+name)
	}
	return ""
}

// keptARN is that of what keeps secrets, tells, guards or writes down.
func (i *inventor) keptARN(of func(service, rest string) string) string {
	name := i.text("name")
	switch i.kind {
	case "aws_secretsmanager_secret":
		return of("secretsmanager", "secret:"+name+"-"+i.hex(6))
	case "aws_sns_topic":
		return of("sns", name)
	case "aws_sns_topic_subscription":
		return i.text("topic_arn") + ":" + i.uuid()
	case "aws_kms_key":
		return of("kms", "key/"+i.text("id"))
	case "aws_kms_alias":
		return of("kms", name)
	case "aws_cloudwatch_log_group":
		return of("logs", "log-group:"+name)
	case "aws_cloudwatch_metric_alarm", "aws_cloudwatch_composite_alarm":
		return of("cloudwatch", "alarm:"+i.text("alarm_name"))
	case "aws_acm_certificate":
		return of("acm", "certificate/"+i.uuid())
	case "aws_wafv2_web_acl":
		return of("wafv2", "regional/webacl/"+name+"/"+i.text("id"))
	case "aws_wafv2_ip_set":
		return of("wafv2", "regional/ipset/"+name+"/"+i.text("id"))
	case "aws_route53_zone":
		return "arn:aws:route53:::hostedzone/" + i.text("id")
	case "aws_cloudtrail":
		return of("cloudtrail", "trail/"+name)
	case "aws_guardduty_detector":
		return of("guardduty", "detector/"+i.text("id"))
	case "aws_dynamodb_table":
		return of("dynamodb", "table/"+name)
	case "aws_ssm_parameter":
		return of("ssm", "parameter/"+strings.TrimPrefix(name, "/"))
	}
	return ""
}

func ec2Part(prefix string) string {
	switch prefix {
	case "":
		return ""
	case "sg":
		return "security-group"
	case "sgr":
		return "security-group-rule"
	case "igw":
		return "internet-gateway"
	case "nat":
		return "natgateway"
	case "eipalloc":
		return "elastic-ip"
	case "rtb":
		return "route-table"
	case "acl":
		return "network-acl"
	case "vpce":
		return "vpc-endpoint"
	case "fl":
		return "vpc-flow-log"
	case "lt":
		return "launch-template"
	case "i":
		return "instance"
	case "ami":
		return "image"
	case "pl":
		return "prefix-list"
	}
	return prefix
}

// member is a string within a resource's state as JSON; else "".
func member(state json.RawMessage, name string) string {
	var members map[string]any
	if json.Unmarshal(state, &members) != nil {
		return ""
	}
	s, _ := members[name].(string)
	return s
}

func itoa(n int) string { return strconv.Itoa(n) }

func hexDigit(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}
