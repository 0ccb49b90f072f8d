package terraform

import (
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"

	"godwit/internal/site/aws/convention"
)

// whose is an environment, by the module of callAccess that makes its roles.
type whose struct {
	module string
	convention.Scope
}

// apart: roles of an environment may do in it what they are for, and nothing of
// that in one whose names begin with those of the first: test, test-x, and y of
// landscape bistro-test. (Those whose names are the same cannot be beside each
// other: IAM makes no second role of a name.)
func apart(t *testing.T, all map[string]*tfjson.StateResource) {
	environments := []whose{
		{"test_x", convention.Scope{Landscape: "bistro", Environment: "test-x"}},
		{"bistro_test", convention.Scope{Landscape: "bistro-test", Environment: "y"}},
		{"test", convention.Scope{Landscape: "bistro", Environment: "test"}},
	}
	everything := policyDocument{Statement: []policyStatement{{Effect: "Allow", Action: oneOrMore{"*"}, Resource: oneOrMore{"*"}}}}
	for _, own := range environments {
		name := "admin"
		if own.module == "test" {
			name = "developer"
		}
		r := roleOf(t, all, own.module, name)
		for _, other := range environments {
			for what, asked := range deeds(other.Scope) {
				operating := strings.HasPrefix(what, "operate: ")
				want := other == own && !(operating && name == "developer")
				if got := allowed(t, asked, &r.boundary, r.policies...); got != want {
					t.Errorf("%s of %s, %s of %s: %s on %s allowed %v", name, own.Name(), what, other.Name(), asked.action, asked.resource, got)
				}
				if other == own {
					continue
				}
				// Policies and boundary each hold by themselves.
				if allowed(t, asked, nil, r.policies...) {
					t.Errorf("%s of %s: its policies let %s on %s through", name, own.Name(), asked.action, asked.resource)
				}
				if allowed(t, asked, &r.boundary, everything) {
					t.Errorf("the boundary of %s lets %s on %s through", own.Name(), asked.action, asked.resource)
				}
			}
		}
	}
}

// deeds are requests on what there is in an environment, one for each statement
// that goes by names. All has tags but roles, whose tags nobody is asked for when
// they are handed over, and objects.
func deeds(s convention.Scope) map[string]request {
	here := testRegion + ":" + testAccount
	tagged := func(action, resource string) request {
		return request{action, resource, map[string]string{"aws:RequestedRegion": testRegion,
			"aws:ResourceTag/godwit:landscape": s.Landscape, "aws:ResourceTag/godwit:environment": s.Environment}}
	}
	role := request{"iam:PassRole", "arn:aws:iam::" + testAccount + ":role/" + s.Landscape + "-instances/" + s.Environment + "/" + s.Role("x-till"),
		map[string]string{"aws:RequestedRegion": testRegion, "iam:PassedToService": "ec2.amazonaws.com"}}
	journal := request{"s3:PutObject", "arn:aws:s3:::" + convention.Account{Landscape: s.Landscape, AccountID: testAccount, Region: testRegion}.StateBucket() +
		"/" + convention.JournalKey(s.Environment, "x-till"), map[string]string{"aws:RequestedRegion": testRegion}}
	logs := "arn:aws:logs:" + here + ":log-group:"
	return map[string]request{
		"scaling":                        tagged("autoscaling:SetDesiredCapacity", "arn:aws:autoscaling:"+here+":autoScalingGroup:u:autoScalingGroupName/"+s.Group("x-till", "blue")),
		"launching":                      role,
		"writing the journal":            journal,
		"log of a service":               tagged("logs:GetLogEvents", logs+s.LogGroup("x-till")+":log-stream:i-1"),
		"log of the network":             tagged("logs:FilterLogEvents", logs+"/"+s.Name()+"/flow:*"),
		"log of a database":              tagged("logs:FilterLogEvents", logs+"/aws/rds/instance/"+s.Database("x-till")+"/postgresql:*"),
		"operate: restarting a database": tagged("rds:RebootDBInstance", "arn:aws:rds:"+here+":db:"+s.Database("x-till")),
		"operate: a snapshot":            tagged("rds:CreateDBSnapshot", "arn:aws:rds:"+here+":db:"+s.Database("x-till")),
		"operate: silencing an alarm":    tagged("cloudwatch:DisableAlarmActions", "arn:aws:cloudwatch:"+here+":alarm:"+s.Name("x-till")+"-slow"),
		"operate: ending an instance":    tagged("ec2:TerminateInstances", "arn:aws:ec2:"+here+":instance/i-1"),
	}
}
