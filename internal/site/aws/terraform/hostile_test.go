package terraform_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"godwit/internal/landscape"
)

// hostile are texts that would be code, were they not quoted.
var hostile = []string{
	`${file("/etc/passwd")}`, `%{ for x in [1] }a%{ endfor }`, `"] } resource "aws_iam_user" "me" { name = "x`,
	"line\nresource \"aws_iam_user\" \"me\" {}\n", `\`, `\"`, `$${a}`, "# not a comment", "<<EOT", "\x00\u2028\u202e",
}

// TestHostile: whatever a landscape says stays text. Names are checked; the rest
// is free.
func TestHostile(t *testing.T) {
	t.Parallel()
	for _, text := range hostile {
		l := parse(t, "testdata/golden/chain/landscape.hcl")
		l.AWS.Domain, l.AWS.OnCall, l.AWS.Region = text, []string{text}, text
		l.AWS.Instance, l.AWS.Database, l.AWS.NAT = text, text, landscape.NAT(text)
		l.AWS.Environments, l.AWS.Services[0].Instance = nil, text
		for i := range l.Ingresses {
			l.Ingresses[i].Host, l.Ingresses[i].Name = text, text
		}
		for i := range l.Services {
			l.Services[i].Health.Path = text
			for j := range l.Services[i].Scale.Peaks {
				p := &l.Services[i].Scale.Peaks[j]
				p.Name, p.Timezone = text, text
			}
		}
		l.Shield.Rules = []landscape.ShieldRules{landscape.ShieldRules(text)}
		l.Shield.Limits[0].Name, l.Shield.Limits[0].Path = text, text

		found := map[string]bool{}
		for name, content := range render(t, l) {
			if !strings.HasPrefix(name, "modules/") && slices.Contains([]string{".tf", ".hcl"}, path.Ext(name)) {
				inspect(t, name, content, found)
			}
		}
		for _, want := range []string{text, "test." + text} {
			if !found[want] {
				t.Errorf("%q is nowhere: it was changed on its way", want)
			}
		}
	}
}

// inspect notes all texts of a file, and refuses what roots never have: calls,
// conditions, loops, and names of what godwit does not render.
func inspect(t *testing.T, name string, content []byte, found map[string]bool) {
	t.Helper()
	f, diags := hclsyntax.ParseConfig(content, name, hcl.InitialPos)
	if diags.HasErrors() {
		t.Errorf("%s: %v\n%s", name, diags, content)
		return
	}
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		if b.Type == "resource" && !slices.Contains([]string{"aws_security_group", "aws_vpc_security_group_ingress_rule",
			"aws_vpc_security_group_egress_rule", "aws_route53_zone", "aws_route53_record", "terraform_data"}, b.Labels[0]) {
			t.Errorf("%s has a resource %v", name, b.Labels)
		}
	}
	_ = hclsyntax.VisitAll(f.Body.(*hclsyntax.Body), func(n hclsyntax.Node) hcl.Diagnostics {
		switch n := n.(type) {
		case *hclsyntax.FunctionCallExpr:
			if n.Name != "list" || path.Base(name) != "variables.tf" { // that one is a type
				t.Errorf("%s calls %s", name, n.Name)
			}
		case *hclsyntax.ConditionalExpr, *hclsyntax.ForExpr, *hclsyntax.TemplateWrapExpr, *hclsyntax.BinaryOpExpr:
			t.Errorf("%s has an expression %T", name, n)
		case *hclsyntax.ScopeTraversalExpr:
			if root := n.Traversal.RootName(); !slices.Contains([]string{"module", "local", "var", "aws_security_group", "aws_route53_zone", "list", "string", "bool", "number"}, root) {
				t.Errorf("%s refers to %s", name, root)
			}
		case *hclsyntax.TemplateExpr:
			v, diags := n.Value(nil) // nothing is known to it
			if diags.HasErrors() {
				t.Errorf("%s has a template that is no text: %v", name, diags)
				return nil
			}
			found[v.AsString()] = true
		}
		return nil
	})
}
