package policy

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPorts: sets of spans are what sets of numbers are.
func TestPorts(t *testing.T) {
	t.Parallel()
	const last = 40
	set := rapid.Custom(func(t *rapid.T) ports {
		var all ports
		for range rapid.IntRange(0, 4).Draw(t, "spans") {
			first := rapid.IntRange(0, last).Draw(t, "first")
			all = all.or(ports{{first, rapid.IntRange(first, last).Draw(t, "last")}})
		}
		return all
	})
	has := func(p ports, n int) bool {
		return slices.ContainsFunc(p, func(s span) bool { return s.first <= n && n <= s.last })
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := set.Draw(t, "a"), set.Draw(t, "b")
		all := true
		for n := range last + 2 {
			x, y := has(a, n), has(b, n)
			if has(a.and(b), n) != (x && y) || has(a.or(b), n) != (x || y) || has(a.without(b), n) != (x && !y) {
				t.Fatalf("%d: and %v, or %v, without %v", n, a.and(b), a.or(b), a.without(b))
			}
			all = all && (x || !y)
		}
		if a.holds(b) != all {
			t.Fatalf("holds: %v", a.holds(b))
		}
		for _, p := range []ports{a.and(b), a.or(b), a.without(b)} {
			for i := 1; i < len(p); i++ {
				if p[i].first <= p[i-1].last+1 {
					t.Fatalf("%v touch", p)
				}
			}
		}
	})
}

func TestKeyless(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"aws_vpc.this":                    "aws_vpc.this",
		`module.a["x"].aws_vpc.this[0]`:   "module.a.aws_vpc.this",
		`module.a["]"].b.c["\"]."].d`:     "module.a.b.c.d",
		`aws_x.y["10.0.0.0/16-[1]"]`:      "aws_x.y",
		`module.m[0].module.n["k"].a_b.c`: "module.m.module.n.a_b.c",
	} {
		if got := keyless(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestWide(t *testing.T) {
	t.Parallel()
	for resource, want := range map[string]bool{
		"*":                                       true,
		"arn:aws:s3:::*":                          true,
		"arn:aws:s3:::a/*":                        false,
		"arn:aws:s3:::*/a":                        false,
		"arn:aws:iam::1:role/*":                   true,
		"arn:aws:iam::1:role/a-*":                 false,
		"arn:aws:logs:r:1:log-group:*":            true,
		"arn:aws:logs:r:1:log-group:/a:*":         false,
		"arn:aws:logs:r:1:log-group:*:*":          true,
		"arn:aws:sns:r:1:*":                       true,
		"arn:aws:secretsmanager:r:1:secret:*":     true,
		"arn:aws:secretsmanager:r:1:secret:a/b-*": false,
	} {
		if got := wide(resource); got != want {
			t.Errorf("%s: %t", resource, got)
		}
	}
}

func TestEverything(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]bool{"*": true, "*:*": true, "s3:*": true, "s3*": true, "s*:Get": true, "s3:**": true,
		"s3:Get*": false, "s3:GetObject": false, "s3:*Object": false} {
		if got := everything(action); got != want {
			t.Errorf("%s: %t", action, got)
		}
	}
}
