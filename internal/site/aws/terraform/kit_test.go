package terraform_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/terraform"
)

// bistro is the reference landscape.
const bistro = "../../../../examples/bistro/landscape.hcl"

func goldens(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/golden/*/landscape.hcl")
	if err != nil || len(all) == 0 {
		t.Fatalf("no golden landscapes: %v", err)
	}
	return all
}

func parse(t testing.TB, path string) *landscape.Landscape {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l, found := landscape.Parse([]landscape.File{{Name: filepath.Base(path), Bytes: content}})
	if l == nil {
		var b bytes.Buffer
		_ = found.Format(&b, false)
		t.Fatal(b.String())
	}
	return l
}

func render(t testing.TB, l *landscape.Landscape) terraform.Tree {
	t.Helper()
	tree, err := terraform.Render(l)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
