package cli

import (
	"slices"
	"strings"
	"testing"

	"godwit/internal/site/aws/tofu"
)

func TestSummaryForPeople(t *testing.T) {
	t.Parallel()
	p := planned{Saved: tofu.Saved{Summary: tofu.Summary{Root: "environments/production",
		Replace: []tofu.Change{{Address: "aws_vpc.this", Action: tofu.Replace, Why: "it cannot be changed in place: cidr_block",
			Fields: []tofu.Field{{Path: "cidr_block", Before: `"10.0.0.0/16"`, After: `"10.1.0.0/16"`, Forces: true}}}}}},
		Reasons: []tofu.Reason{{Address: "aws_vpc.this", Why: "it is replaced"}}}
	for color, want := range map[bool]string{
		false: `  ± aws_vpc.this  (it cannot be changed in place: cidr_block)
      ~ cidr_block: "10.0.0.0/16" -> "10.1.0.0/16"  (forces the replacement)
environments/production: 0 to create, 0 to update, 1 to replace, 0 to destroy.
wants --approve: it is replaced (aws_vpc.this)
`,
		true: "  \x1b[31m± aws_vpc.this\x1b[0m  (it cannot be changed in place: cidr_block)\n" +
			"      \x1b[33m~\x1b[0m cidr_block: \"10.0.0.0/16\" -> \"10.1.0.0/16\"  \x1b[31m(forces the replacement)\x1b[0m\n" +
			"environments/production: 0 to create, 0 to update, 1 to replace, 0 to destroy.\nwants --approve: it is replaced (aws_vpc.this)\n",
	} {
		var got strings.Builder
		showSummary(&got, p, color)
		if got.String() != want {
			t.Errorf("colour %v:\n%q\nwant\n%q", color, got.String(), want)
		}
	}
}

// TestReasons: each is said once, however many resources it holds of.
func TestReasons(t *testing.T) {
	t.Parallel()
	reasons := []tofu.Reason{{Address: "db", Why: "its data end"}}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		reasons = append(reasons, tofu.Reason{Address: name, Why: "it ends"})
	}
	want := []string{"its data end (db)", "it ends (a, b, c, and 2 more)"}
	if got := grouped(reasons); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := reasonsText(reasons); got != "its data end (db), and 1 other reason" {
		t.Errorf("got %q", got)
	}
	if got := reasonsText(reasons[:1]); got != "its data end (db)" {
		t.Errorf("got %q", got)
	}
}
