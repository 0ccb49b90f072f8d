package tofutest_test

import (
	"os"
	"slices"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/terraform"
	"godwit/internal/site/aws/terraform/tofutest"
)

// The reference landscape from nothing to nothing, all of its roots in one account:
// names that two of them would take are found, and an end in the wrong order. What
// a single root has to be is tested where it is rendered, and driven.
func TestBistro(t *testing.T) {
	t.Parallel()
	w := tofutest.New(t, bistro(t))
	w.Fmt()
	roots := []string{"account", "environments/test", "environments/stage", "environments/production"}
	account := 0
	for _, root := range roots {
		w.Init(root)
		w.Apply(root, nil)
		if root == roots[0] {
			account = len(w.World())
		}
	}
	if made := len(w.World()); made < 600 {
		t.Errorf("%d resources: the bistro has more", made)
	}
	w.Same("environments/production", nil)
	for _, root := range slices.Backward(roots[1:]) {
		w.Destroy(root, nil)
	}
	// The audit and the states outlive all, so the account can't be destroyed.
	w.Refused(roots[0], []string{"destroy", "-auto-approve", "-no-color"}, "prevent_destroy", "aws_s3_bucket.audit", "aws_s3_bucket.state")
	if left := w.World(); len(left) != account {
		t.Errorf("%d resources are left, and the account has %d", len(left), account)
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
