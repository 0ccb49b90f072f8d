package landscape_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
)

// seeds are the landscapes of testdata.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	plain, _ := filepath.Glob("testdata/parse/*.hcl")
	for _, path := range plain {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	archives, _ := filepath.Glob("testdata/findings/*.txtar")
	for _, path := range archives {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a.Files[0].Data)
	}
	if len(all) < 5 {
		t.Fatalf("only %d seeds", len(all))
	}
	return all
}
