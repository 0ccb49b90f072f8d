package tofu

import (
	"slices"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
)

func changed(kind string, before, after map[string]any, actions ...tfjson.Action) *tfjson.ResourceChange {
	return &tfjson.ResourceChange{Address: kind + ".x", Mode: tfjson.ManagedResourceMode, Type: kind, Name: "x",
		Change: &tfjson.Change{Actions: actions, Before: before, After: after}}
}

func whys(reasons []Reason) []string {
	all := []string{}
	for _, r := range reasons {
		all = append(all, r.Address+": "+r.Why)
	}
	return all
}

// TestGuardOfUnprotecting: an environment is declared protected no more. All that
// this takes away is asked for, and what ends with it too.
func TestGuardOfUnprotecting(t *testing.T) {
	t.Parallel()
	type values = map[string]any
	loosened := []*tfjson.ResourceChange{
		changed("aws_db_instance", values{"deletion_protection": true, "backup_retention_period": 35., "delete_automated_backups": false},
			values{"deletion_protection": false, "backup_retention_period": 7., "delete_automated_backups": true}, tfjson.ActionUpdate),
		changed("aws_lb", values{"enable_deletion_protection": true}, values{"enable_deletion_protection": false}, tfjson.ActionUpdate),
		changed("aws_secretsmanager_secret", values{"recovery_window_in_days": 30.}, values{"recovery_window_in_days": 0.}, tfjson.ActionUpdate),
		changed("aws_s3_bucket", values{"force_destroy": false}, values{"force_destroy": true}, tfjson.ActionUpdate),
	}
	logs := changed("aws_cloudwatch_log_group", values{"retention_in_days": 400.}, values{"retention_in_days": 30.}, tfjson.ActionUpdate)
	rule := changed("aws_vpc_security_group_ingress_rule", values{"ip_protocol": "tcp"}, nil, tfjson.ActionDelete)
	always := []string{"aws_cloudwatch_log_group.x: what is older in the log is deleted (400 -> 30 days)", "aws_vpc_security_group_ingress_rule.x: it ends, in a protected environment"}
	want := append([]string{
		"aws_db_instance.x: fewer of its backups are kept (35 -> 7 days)",
		"aws_db_instance.x: its backups would end with it",
		"aws_db_instance.x: its protection from deletion ends",
		"aws_lb.x: its protection from deletion ends",
		"aws_s3_bucket.x: it could be deleted with all that is stored in it",
		"aws_secretsmanager_secret.x: less time is left to recover it once it is deleted (30 -> 0 days)",
	}, always...)
	guarded := func(changes ...*tfjson.ResourceChange) []string {
		all := whys(Guard(summarise("environments/x", &tfjson.Plan{ResourceChanges: changes}, true, false), Stakes{}))
		slices.Sort(all)
		return all
	}
	slices.Sort(want)
	if got := guarded(append(slices.Clone(loosened), logs, rule)...); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	slices.Sort(always)
	for _, one := range loosened { // each of them alone tells what the environment was
		if got := guarded(one, logs, rule); !slices.Contains(got, always[0]) || !slices.Contains(got, always[1]) {
			t.Errorf("%s alone: %v", one.Address, got)
		}
	}
	if got := guarded(logs, rule); len(got) != 0 {
		t.Errorf("in an environment that never was protected: %v", got)
	}
	there := changed("aws_lb", values{"enable_deletion_protection": true}, values{"enable_deletion_protection": true}, tfjson.ActionNoop)
	if got := guarded(logs, rule, there); !slices.Equal(got, always) {
		t.Errorf("with a load balancer that stays protected: %v", got)
	}
}

// TestGuardOfTightening: nothing that protects more is asked for.
func TestGuardOfTightening(t *testing.T) {
	t.Parallel()
	for _, f := range []Field{
		{Path: "deletion_protection", Before: "false", After: "true"}, {Path: "multi_az", Before: "false", After: "true"},
		{Path: "delete_automated_backups", Before: "true", After: "false"}, {Path: "force_destroy", Before: "true", After: "false"},
		{Path: "force_destroy", After: "false"}, {Path: "backup_retention_period", Before: "7", After: "35"},
		{Path: "recovery_window_in_days", Before: "7", After: "30"}, {Path: "retention_in_days", Before: "30", After: "400"},
		{Path: "retention_in_days", Before: "30", After: "0"}, {Path: "rule.expiration.days", Before: "30", After: "400"},
	} {
		s := Summary{Update: []Change{{Address: "a.b", Type: "aws_s3_bucket_lifecycle_configuration", Action: Update, Fields: []Field{f}}}}
		if got := Guard(s, Stakes{Protected: true}); len(got) != 0 {
			t.Errorf("%v: %v", f, got)
		}
	}
	logs := Change{Address: "a.b", Type: "aws_s3_bucket_lifecycle_configuration", Action: Update, Fields: []Field{{Path: "rule.expiration.days", Before: "400", After: "30"}}}
	if got := Guard(Summary{Update: []Change{logs}}, Stakes{Protected: true}); len(got) != 1 {
		t.Errorf("fewer days of a bucket: %v", got)
	}
}

// TestGuardOfNames: before the cutover of a migration nobody's clients are turned.
func TestGuardOfNames(t *testing.T) {
	t.Parallel()
	record := func(kind, host string, actions ...tfjson.Action) *tfjson.ResourceChange {
		return changed("aws_route53_record", nil, map[string]any{"type": kind, "name": host}, actions...)
	}
	const host = "till.bistro.example"
	adopted := record("AAAA", host, tfjson.ActionUpdate)
	adopted.Change.Importing = &tfjson.Importing{ID: "Z_" + host + "_AAAA"}
	moving := Stakes{Migration: "datacenter", Hosts: []string{host}}
	for name, c := range map[string]struct {
		change *tfjson.ResourceChange
		at     Stakes
		want   int
	}{
		"made":                 {record("A", host, tfjson.ActionCreate), moving, 1},
		"made, of IPv6":        {record("AAAA", host, tfjson.ActionCreate), moving, 1},
		"adopted":              {adopted, moving, 1},
		"no migration":         {record("A", host, tfjson.ActionCreate), Stakes{Hosts: moving.Hosts}, 0},
		"proof":                {record("CNAME", "_x."+host, tfjson.ActionCreate), moving, 0},
		"of the inside":        {record("A", "menu.svc.internal", tfjson.ActionCreate), moving, 0},
		"there since long":     {record("A", host, tfjson.ActionNoop), moving, 0},
		"changed, as godwit's": {record("A", host, tfjson.ActionUpdate), moving, 0},
	} {
		got := whys(Guard(summarise("environments/x", &tfjson.Plan{ResourceChanges: []*tfjson.ResourceChange{c.change}}, true, false), c.at))
		if len(got) != c.want || c.want > 0 && !strings.Contains(got[0], `turns the clients of till.bistro.example to AWS, and migration "datacenter" into this environment is still declared: until it is finished, keep dns = false`) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSummaryLeavesOutVersions: a counter that the provider keeps tells nobody anything.
func TestSummaryLeavesOutVersions(t *testing.T) {
	t.Parallel()
	rc := changed("aws_launch_template", map[string]any{"latest_version": 1., "instance_type": "t3.small"}, map[string]any{"instance_type": "m7i.large"}, tfjson.ActionUpdate)
	rc.Change.AfterUnknown = map[string]any{"latest_version": true}
	got := formatted(t, summarise("environments/x", &tfjson.Plan{ResourceChanges: []*tfjson.ResourceChange{rc}}, true, false), false)
	if strings.Contains(got, "latest_version") || !strings.Contains(got, `instance_type: "t3.small" -> "m7i.large"`) {
		t.Errorf("got %s", got)
	}
}
