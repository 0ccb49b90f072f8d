package archtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rules = map[string]func([]Source) []Violation{
	"direction": Direction, "purity": Purity, "no sleep": NoSleep, "names": Names, "docs": Docs, "no init": NoInit, "sizes": Sizes,
}

func TestArchitecture(t *testing.T) {
	t.Parallel()
	sources, err := Load(root(t), "internal", "cmd", "examples")
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 20 {
		t.Fatalf("only %d files found", len(sources))
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, v := range rule(sources) {
				t.Error(v)
			}
		})
	}
}

// TestMapIsCurrent: a territory that is gone, or not yet there, misleads. The
// ones to come are named in the design.
func TestMapIsCurrent(t *testing.T) {
	t.Parallel()
	coming := []string{"internal/site/aws"}
	for _, place := range territories {
		if _, err := os.Stat(filepath.Join(root(t), filepath.FromSlash(place.path))); err != nil && !strings.Contains(strings.Join(coming, " "), place.path) {
			t.Errorf("%s is on the map and not in the module", place.path)
		}
		if place.why == "" {
			t.Errorf("%s has no reason", place.path)
		}
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// TestRulesBite: each source breaks its rule, or, with want "", keeps it.
func TestRulesBite(t *testing.T) {
	t.Parallel()
	long := "package p\n\nfunc f() {\n" + strings.Repeat("\t_ = 1\n", longestFunction-1) + "}\n"
	for name, c := range map[string]struct {
		rule, path, text, want string
	}{
		"site imports engine":       {"direction", "internal/site/local/a.go", imports("godwit/internal/engine"), "could not be replaced"},
		"site imports another":      {"direction", "internal/site/local/a.go", imports("godwit/internal/site/aws"), "could not be replaced"},
		"site imports contract":     {"direction", "internal/site/local/a.go", imports("godwit/internal/site"), ""},
		"site imports its parts":    {"direction", "internal/site/local/a.go", imports("godwit/internal/site/local/network"), ""},
		"contract imports a site":   {"direction", "internal/site/sitetest/a.go", imports("godwit/internal/site/local"), "never one site"},
		"gateway imports store":     {"direction", "internal/gateway/a.go", imports("godwit/internal/store"), "must run without"},
		"gateway imports site":      {"direction", "internal/gateway/client/a.go", imports("godwit/internal/site"), "must run without"},
		"journal imports site":      {"direction", "internal/journal/a.go", imports("godwit/internal/site"), "survive every crash"},
		"cli imports engine":        {"direction", "internal/cli/a.go", imports("godwit/internal/engine"), "where no engine is needed"},
		"rollout imports a site":    {"direction", "internal/rollout/a.go", imports("godwit/internal/site/local"), "through its contract"},
		"migrate imports a site":    {"direction", "internal/migrate/postgres/a.go", imports("godwit/internal/site/local/postgres"), "through its contract"},
		"fleet imports plan":        {"direction", "internal/fleet/a.go", imports("godwit/internal/plan"), "only the declared one"},
		"example imports godwit":    {"direction", "examples/bistro/till/a.go", imports("godwit/internal/fleet"), "not be made of godwit"},
		"unknown package":           {"direction", "internal/novelty/a.go", "package novelty", "before it is built"},
		"tests import anything":     {"direction", "internal/journal/a_test.go", imports("godwit/internal/site"), ""},
		"names that only begin so":  {"direction", "internal/journal/a.go", imports("godwit/internal/storefront"), "survive every crash"},
		"pure reads files":          {"purity", "internal/landscape/a.go", imports("os"), "pure code imports os"},
		"pure runs programs":        {"purity", "internal/plan/a.go", imports("os/exec"), "pure code imports os/exec"},
		"pure logs":                 {"purity", "internal/plan/a.go", imports("log/slog"), "returns what it has to say"},
		"pure is random":            {"purity", "internal/fleet/a.go", imports("math/rand/v2"), "same input"},
		"pure dials":                {"purity", "internal/fleet/a.go", imports("net"), "speaks to nobody"},
		"pure knows addresses":      {"purity", "internal/fleet/a.go", imports("net/netip"), ""},
		"pure knows the time":       {"purity", "internal/plan/a.go", "package p\nimport \"time\"\nvar x = time.Now()", "now is an argument"},
		"pure knows it by alias":    {"purity", "internal/plan/a.go", "package p\nimport t \"time\"\nvar x = t.Since", "now is an argument"},
		"pure knows it by dot":      {"purity", "internal/plan/a.go", "package p\nimport . \"time\"\nvar x = Now()", "with a dot"},
		"pure knows durations":      {"purity", "internal/plan/a.go", "package p\nimport \"time\"\nvar x = time.Second", ""},
		"pure starts goroutines":    {"purity", "internal/plan/a.go", "package p\nfunc f() { go f() }", "who is first"},
		"the verdict is pure":       {"purity", "internal/rollout/verdict.go", imports("os"), "pure code"},
		"the rest of rollout isn't": {"purity", "internal/rollout/judge.go", imports("context"), ""},
		"tests of pure code aren't": {"purity", "internal/plan/a_test.go", imports("os"), ""},
		"test sleeps":               {"no sleep", "internal/plan/a_test.go", "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }", "too short on a slow"},
		"bubble sleeps":             {"no sleep", "internal/plan/a_test.go", bubble("synctest.Test(t, func() { time.Sleep(1) })"), ""},
		"test sleeps by a bubble":   {"no sleep", "internal/plan/a_test.go", bubble("synctest.Test(t, nil); time.Sleep(1)"), "too short on a slow"},
		"code may sleep":            {"no sleep", "internal/plan/a.go", "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }", ""},
		"empty name":                {"names", "internal/plan/a.go", "package util", "says nothing"},
		"empty directory name":      {"names", "internal/helpers/a.go", "package p", "says nothing"},
		"no package comment":        {"docs", "internal/plan/a.go", "package p", "0 package comments"},
		"package comment":           {"docs", "internal/plan/a.go", "// Package p is.\npackage p", ""},
		"init":                      {"no init", "internal/plan/a.go", "package p\nfunc init() {}", "chosen explicitly"},
		"a method called init":      {"no init", "internal/plan/a.go", "package p\ntype t int\nfunc (t) init() {}", ""},
		"long file":                 {"sizes", "internal/plan/a.go", "package p\n" + strings.Repeat("\n", longestFile), "at most 600"},
		"long function":             {"sizes", "internal/plan/a.go", long, "f has 65 lines"},
		"long test":                 {"sizes", "internal/plan/a_test.go", long, ""},
	} {
		source, err := Parse(c.path, []byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var all []string
		for _, v := range rules[c.rule]([]Source{source}) {
			all = append(all, v.String())
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func imports(path string) string { return "package p\n\nimport _ \"" + path + "\"\n" }

func bubble(body string) string {
	return "package p\n\nimport (\n\"time\"\n\"testing/synctest\"\n)\n\nfunc f() { " + body + " }\n"
}
