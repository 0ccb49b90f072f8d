package pgtest

import (
	"os"
	"regexp"
	"testing"
)

// Invariant is the query of that name in bistro's landscape file, found from a
// package one directory below it: tests ask what the migration's proof asks.
func Invariant(t testing.TB, name string) string {
	t.Helper()
	file, err := os.ReadFile("../landscape.hcl")
	check(t, err)
	query := regexp.MustCompile(`(?s)invariant "` + name + `" \{.*?<<-SQL\n(.*?)\n *SQL\n`).FindSubmatch(file)
	if query == nil {
		t.Fatalf("no invariant %q in landscape.hcl", name)
	}
	return string(query[1])
}
