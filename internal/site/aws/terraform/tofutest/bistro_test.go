package tofutest_test

import (
	"os"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/terraform"
	"godwit/internal/site/aws/terraform/tofutest"
)

// The reference landscape, as it is rendered: formatted, valid, planned, applied,
// the same after it, destroyed. All roots make one world: names that two of them
// would take in the same account are found.
func TestBistro(t *testing.T) {
	w := tofutest.New(t, bistro(t))
	w.Fmt()
	roots := []string{"account", "environments/test", "environments/stage", "environments/production"}
	for _, root := range roots {
		w.Init(root)
		w.Validate(root)
		w.Apply(root, nil)
		w.Same(root, nil)
	}
	made := len(w.World())
	t.Logf("%d resources", made)
	if made < 100 {
		t.Errorf("%d resources: the bistro has more", made)
	}
}

func bistro(t *testing.T) terraform.Tree {
	t.Helper()
	content, err := os.ReadFile("../../../../../examples/bistro/landscape.hcl")
	if err != nil {
		t.Fatal(err)
	}
	l, findings := landscape.Parse([]landscape.File{{Name: "landscape.hcl", Bytes: content}})
	if l == nil {
		t.Fatal(findings)
	}
	tree, err := terraform.Render(l)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
