package terraform_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"pgregory.net/rapid"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/terraform"
)

// TestEdges reads the firewall back from its file: edges are pairs, they are the
// declared ones and no others, and addresses are only where they have to be.
func TestEdges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLandscape(t)
		tree, err := terraform.Render(l)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.Environments {
			name := "environments/" + e.Name + "/edges.tf"
			compareEdges(t, l, readEdges(t, name, tree[name]))
		}
	})
}

func drawLandscape(t *rapid.T) *landscape.Landscape {
	l := &landscape.Landscape{Name: "l", Shield: landscape.Shield{Rate: 100, Window: 300e9},
		AWS: &landscape.AWS{Region: "eu-central-1", Domain: "x.example", Zones: 2, Sizing: landscape.Sizing{
			Instance: "t3.small", Database: "db.t4g.medium", Storage: 20, NAT: landscape.NATNone}},
		Environments: []landscape.Environment{{Name: "live", Network: netip.MustParsePrefix("10.2.0.0/16"), Protected: true}}}
	for i := range rapid.IntRange(0, 3).Draw(t, "databases") {
		l.Databases = append(l.Databases, landscape.Database{Name: fmt.Sprintf("d-%d", i), Engine: "postgres"})
	}
	services := rapid.IntRange(1, 5).Draw(t, "services")
	for i := range services {
		s := landscape.Service{Name: fmt.Sprintf("s-%d", i), Port: 8000 + i, Scale: landscape.Scale{Min: 1, Max: 2}}
		for _, d := range l.Databases {
			if rapid.Bool().Draw(t, "needs database") {
				s.Needs = append(s.Needs, landscape.Ref{Kind: "database", Name: d.Name})
			}
		}
		for j := range services {
			if i != j && rapid.Bool().Draw(t, "needs service") {
				s.Needs = append(s.Needs, landscape.Ref{Kind: "service", Name: fmt.Sprintf("s-%d", j)})
			}
		}
		l.Services = append(l.Services, s)
		if rapid.Bool().Draw(t, "ingress") {
			l.Ingresses = append(l.Ingresses, landscape.Ingress{Name: s.Name, Host: s.Name + ".x.example", Service: s.Name})
		}
	}
	return l
}

// opened is a rule as it stands in the file.
type opened struct {
	at, peer string // security groups
	port     string
	cidr     string
}

// readEdges are the rules of a file: who lets out, and who lets in.
func readEdges(t *rapid.T, name string, content []byte) (rules map[string][]opened) {
	f, diags := hclsyntax.ParseConfig(content, name, hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	rules = map[string][]opened{}
	text := func(b *hclsyntax.Block, attribute string) string {
		a, ok := b.Body.Attributes[attribute]
		if !ok {
			return ""
		}
		source := strings.Trim(string(a.Expr.Range().SliceBytes(content)), `"`)
		return strings.TrimSuffix(strings.TrimPrefix(source, "aws_security_group."), ".id")
	}
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		if b.Labels[0] == "aws_security_group" {
			if len(b.Body.Blocks) > 0 {
				t.Fatalf("%s has rules of its own", b.Labels[1])
			}
			continue
		}
		rule := opened{text(b, "security_group_id"), text(b, "referenced_security_group_id"), text(b, "from_port"),
			text(b, "cidr_ipv4") + text(b, "cidr_ipv6")}
		if text(b, "to_port") != rule.port || text(b, "ip_protocol") != "tcp" {
			t.Fatalf("%s opens more than a port", b.Labels[1])
		}
		rules[b.Labels[0]] = append(rules[b.Labels[0]], rule)
	}
	return rules
}

func compareEdges(t *rapid.T, l *landscape.Landscape, rules map[string][]opened) {
	var out, in, outside []string
	for _, r := range rules["aws_vpc_security_group_egress_rule"] {
		switch {
		case r.cidr != "":
			t.Fatalf("%s reaches %s", r.at, r.cidr)
		case r.peer != "": // else S3
			out = append(out, r.at+" "+r.peer+" "+r.port)
		}
	}
	for _, r := range rules["aws_vpc_security_group_ingress_rule"] {
		if r.cidr != "" {
			outside = append(outside, r.at+" "+r.cidr+" "+r.port)
			continue
		}
		in = append(in, r.peer+" "+r.at+" "+r.port)
	}
	slices.Sort(out)
	slices.Sort(in)
	if want := declared(l); !slices.Equal(out, want) || !slices.Equal(in, want) {
		t.Fatalf("out %v\nin  %v\nwant %v", out, in, want)
	}
	slices.Sort(outside)
	want := []string{"public 0.0.0.0/0 443", "public 0.0.0.0/0 80", "public ::/0 443", "public ::/0 80"}
	if len(l.Ingresses) == 0 {
		want = nil
	}
	if !slices.Equal(outside, want) {
		t.Fatalf("from outside: %v", outside)
	}
}

// declared are the edges of the landscape, with the load balancers between.
func declared(l *landscape.Landscape) []string {
	var all []string
	group := func(kind, name string) string { return kind + "_" + strings.ReplaceAll(name, "-", "_") }
	for _, e := range landscape.Edges(l) {
		from, to, port := group(e.From.Kind, e.From.Name), group(e.To.Kind, e.To.Name), fmt.Sprint(e.Port)
		switch {
		case e.From == landscape.Gateway:
			all = append(all, "public "+to+" "+port)
		case e.To.Kind == "service":
			balancer := group("internal", e.To.Name)
			all = append(all, from+" "+balancer+" "+port, balancer+" "+to+" "+port)
		default:
			all = append(all, from+" "+to+" "+port)
		}
	}
	for _, s := range l.Services {
		all = append(all, group("service", s.Name)+" endpoints 443")
	}
	slices.Sort(all)
	return slices.Compact(all)
}
