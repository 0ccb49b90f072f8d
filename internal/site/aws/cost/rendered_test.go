package cost

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/terraform"
	"godwit/internal/site/aws/terraform/tofutest"
)

// TestBillIsOfWhatIsRendered: what a bill counts is what OpenTofu would make.
func TestBillIsOfWhatIsRendered(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../../../examples/bistro/landscape.hcl")
	if err != nil {
		t.Fatal(err)
	}
	l, findings := landscape.Parse([]landscape.File{{Name: "landscape.hcl", Bytes: content}})
	if l == nil {
		t.Fatal(findings)
	}
	l.AWS.NAT = landscape.NATZone
	l.Services[0].Scale.Requests = 20
	l.AWS.Environments = append(l.AWS.Environments, landscape.AWSEnvironment{Name: "test", Gateways: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}})
	tree, err := terraform.Render(l)
	if err != nil {
		t.Fatal(err)
	}
	a := Default()
	a.Hours = 1 // quantities by the hour are pieces
	b, err := Estimate(l, prices(t), a)
	if err != nil {
		t.Fatal(err)
	}
	w := tofutest.New(t, tree)
	for root, section := range map[string]string{"environments/test": "test", "account": Account} {
		w.Init(root)
		made := count(w.Plan(root, nil))
		for item, want := range made {
			if got := billed(b, section, item); got != want {
				t.Errorf("%s: %v of %q are billed, and %v are made", section, got, item, want)
			}
		}
		if len(made) < 2 {
			t.Errorf("%s: only %v was compared", section, made)
		}
	}
}

func billed(b Bill, section, item string) float64 {
	sum := 0.0
	for _, s := range b.Sections {
		for _, line := range s.Lines {
			if s.Name == section && strings.HasPrefix(line.Item, item) && !strings.Contains(line.Item, "capacity") {
				sum += line.Least
			}
		}
	}
	return sum
}

// count is how many pieces of each line a plan makes.
func count(p *tfjson.Plan) map[string]float64 {
	made := map[string]float64{}
	for _, rc := range p.ResourceChanges {
		after, _ := rc.Change.After.(map[string]any)
		switch rc.Type {
		case "aws_kms_key":
			made["KMS key"]++
		case "aws_lb":
			made["load balancer"]++
		case "aws_nat_gateway":
			made["NAT gateways"]++
		case "aws_db_instance":
			made["RDS db."]++
			made["RDS storage"] += number64(after["allocated_storage"])
			made["secrets"]++ // RDS keeps one of its master
		case "aws_secretsmanager_secret":
			made["secrets"]++
		case "aws_wafv2_web_acl":
			rules, _ := after["rule"].([]any)
			made["WAF rules"] += float64(len(rules))
		case "aws_vpc_endpoint":
			subnets := 2.0 // they are known after apply only
			if after["vpc_endpoint_type"] == "Interface" {
				made["interface endpoints"] += subnets
			}
		case "aws_cloudwatch_metric_alarm":
			made["alarms"] += looked(after)
		case "aws_autoscaling_policy":
			made["alarms"] += 2 // to grow and to shrink, every ten seconds or not
		}
	}
	return made
}

// looked is how many metrics an alarm looks at.
func looked(alarm map[string]any) float64 {
	queries, _ := alarm["metric_query"].([]any)
	n := 0.0
	for _, q := range queries {
		if m, _ := q.(map[string]any)["metric"].([]any); len(m) > 0 {
			n++
		}
	}
	return max(n, 1)
}

func number64(v any) float64 {
	f, _ := v.(float64)
	return f
}
