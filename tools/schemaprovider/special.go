package main

import (
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// special are computed values that configurations are known to use parts of.
func (i *inventor) special(path string, t cty.Type) cty.Value {
	switch i.kind + "." + path {
	case "aws_launch_template.latest_version":
		return i.next("latest_version")
	case "aws_acm_certificate.domain_validation_options.resource_record_name":
		return cty.StringVal("_" + i.hex(32, "record") + ".example.")
	case "aws_acm_certificate.domain_validation_options.resource_record_type":
		return cty.StringVal("CNAME")
	case "aws_acm_certificate.domain_validation_options.resource_record_value":
		return cty.StringVal("_" + i.hex(32, "value") + ".acm-validations.aws.")
	case "aws_db_instance.master_user_secret":
		return i.masterSecret(t)
	case "aws_route53_zone.name_servers":
		return i.nameServers()
	case "aws_vpc_endpoint.network_interface_ids":
		return i.perSubnet("eni")
	case "aws_vpc_endpoint.dns_entry":
		return i.dnsEntries(t)
	case "aws_autoscaling_group.desired_capacity":
		return i.made["min_size"]
	case "aws_lb_listener_rule.priority":
		n, _ := strconv.ParseInt(i.hex(4, "priority"), 16, 64)
		return cty.NumberIntVal(1 + n%50000)
	case "aws_vpc.ipv6_cidr_block", "aws_vpc.ipv6_association_id", "aws_vpc.ipv6_cidr_block_network_border_group":
		return i.ipv6(path)
	}
	return cty.NilVal
}

// ipv6 is there for a VPC that asked for a range, of those for documentation.
func (i *inventor) ipv6(path string) cty.Value {
	if asked, ok := i.made["assign_generated_ipv6_cidr_block"]; !ok || asked.IsNull() || asked.False() {
		return cty.StringVal("")
	}
	switch path {
	case "ipv6_cidr_block":
		h := i.hex(6, "ipv6")
		return cty.StringVal("2001:db8:" + h[:4] + ":" + h[4:] + "00::/56")
	case "ipv6_association_id":
		return cty.StringVal("vpc-cidr-assoc-" + i.hex(17, "ipv6"))
	}
	return cty.StringVal(i.settings.region)
}

// next is the number after the one before.
func (i *inventor) next(name string) cty.Value {
	if i.prior.IsNull() || i.prior.GetAttr(name).IsNull() {
		return cty.NumberIntVal(1)
	}
	return i.prior.GetAttr(name).Add(cty.NumberIntVal(1))
}

func (i *inventor) masterSecret(t cty.Type) cty.Value {
	managed, ok := i.made["manage_master_user_password"]
	if !ok || managed.IsNull() || managed.False() {
		return cty.ListValEmpty(t.ElementType())
	}
	key := i.text("master_user_secret_kms_key_id")
	if key == "" {
		key = "arn:aws:kms:" + i.settings.region + ":" + account + ":key/" + i.uuid("aws/secretsmanager")
	}
	return cty.ListVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{
		"kms_key_id": cty.StringVal(key), "secret_status": cty.StringVal("active"),
		"secret_arn": cty.StringVal("arn:aws:secretsmanager:" + i.settings.region + ":" + account + ":secret:rds!" +
			i.string("resource_id", "") + "-" + i.hex(6)),
	})})
}

func (i *inventor) nameServers() cty.Value {
	var all []cty.Value
	for _, end := range []string{"com", "net", "org", "co.uk"} {
		all = append(all, cty.StringVal("ns-"+i.octet()+".awsdns-"+i.hex(2, end)+"."+end))
	}
	return cty.ListVal(all)
}

func (i *inventor) perSubnet(prefix string) cty.Value {
	subnets, ok := i.made["subnet_ids"]
	if !ok || subnets.IsNull() || !subnets.IsKnown() || subnets.LengthInt() == 0 {
		return cty.SetValEmpty(cty.String)
	}
	var all []cty.Value
	for _, s := range subnets.AsValueSlice() {
		all = append(all, cty.StringVal(prefix+"-"+i.hex(17, s.GoString())))
	}
	return cty.SetVal(all)
}

func (i *inventor) dnsEntries(t cty.Type) cty.Value {
	if !strings.EqualFold(i.text("vpc_endpoint_type"), "Interface") {
		return cty.ListValEmpty(t.ElementType())
	}
	service := i.text("service_name")
	service = service[strings.LastIndex(service, ".")+1:]
	return cty.ListVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{
		"dns_name":       cty.StringVal(i.text("id") + "-" + i.hex(8) + "." + service + "." + i.settings.region + ".vpce.amazonaws.com"),
		"hosted_zone_id": cty.StringVal("Z" + strings.ToUpper(i.hex(13, "vpce"))),
	})})
}
