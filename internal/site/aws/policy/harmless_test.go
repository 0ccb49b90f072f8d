package policy_test

import (
	"testing"

	"godwit/internal/site/aws/policy"
)

// TestHarmless: what looks like a fault, and is none.
func TestHarmless(t *testing.T) {
	t.Parallel()
	l := bistro(t)
	for name, change := range harmless {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := made(t, l, test)
			change(r)
			for _, v := range policy.Check(*r.all, policy.Expect{}) {
				t.Error(v)
			}
		})
	}
}

// TestSecondFactorElsewhere: where an identity provider asks for it, AWS cannot.
func TestSecondFactorElsewhere(t *testing.T) {
	t.Parallel()
	r := made(t, bistro(t), test)
	trusts(`"Principal":{"AWS":"arn:aws:iam::123456789012:role/people"},"Action":"sts:AssumeRole"`)(r)
	if found := policy.Check(*r.all, policy.Expect{SecondFactorElsewhere: true}); len(found) > 0 {
		t.Error(found)
	}
}

// harmless are changes that no rule minds.
var harmless = map[string]func(tree){
	"an identity provider": trusts(`"Principal":{"Federated":"arn:aws:iam::123456789012:saml-provider/us"},"Action":"sts:AssumeRoleWithSAML"`),
	"a service":            trusts(`"Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"`),
	"a list of values":     trusts(`"Principal":{"AWS":["arn:aws:iam::123456789012:role/people"]},"Action":"sts:AssumeRole","Condition":{"Bool":{"aws:MultiFactorAuthPresent":[true]}}`),
	"somebody is refused": func(r tree) {
		r.set(role, "assume_role_policy", `{"Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`)
	},
	"a bucket's objects":  grants(`"Action":"s3:Get*","Resource":"arn:aws:s3:::a/*"`),
	"a log group's lines": grants(`"Action":"logs:PutLogEvents","Resource":"arn:aws:logs:eu-central-1:123456789012:log-group:/a:*"`),
	"with a condition":    grants(`"Action":"ec2:Describe*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-central-1"}}`),
	"an attachment beside": func(r tree) { // of a group that has none of its own
		arn := r.get("module.service_till.aws_lb_target_group.this[\"public-blue\"]", "arn")
		r.set(till, "target_group_arns", []any{})
		r.add("aws_autoscaling_attachment", policy.Values{"autoscaling_group_name": r.get(till, "name"), "lb_target_group_arn": arn})
	},
	"the same told twice": func(r tree) { // by the provider
		r.set(till, "traffic_source", []any{map[string]any{"identifier": r.get("module.service_till.aws_lb_target_group.this[\"public-blue\"]", "arn")}})
	},
	"networks that are somebody's": func(r tree) {
		rewrite(r, egressRule+"service_till_to_s3", policy.Values{"cidr_ipv4": "9.0.0.0/8"})
		rewrite(r, egressRule+"service_menu_to_s3", policy.Values{"cidr_ipv6": "2001:db8::/20"})
	},
	"a parameter that is no secret": func(r tree) { r.add("aws_ssm_parameter", policy.Values{"type": "String", "value": "blue"}) },
	"a key that signs": func(r tree) {
		r.add("aws_kms_key", policy.Values{"customer_master_key_spec": "ECC_NIST_P256", "enable_key_rotation": false})
	},
	"the routes of a table, as AWS tells them": func(r tree) {
		igw := r.get("aws_internet_gateway.this", "id")
		r.the("aws_route_table.public").Values["route"] = []any{
			map[string]any{"cidr_block": "0.0.0.0/0", "gateway_id": igw}, map[string]any{"cidr_block": "10.10.0.0/16", "gateway_id": "local"}}
		r.the("aws_route_table.data").Values["route"] = []any{map[string]any{"cidr_block": "10.10.0.0/16", "gateway_id": "local"}}
	},
	"AWS's own for a service": func(r tree) {
		r.set("aws_iam_role_policy_attachment.developer_look[0]", "policy_arn", "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole")
	},
}
