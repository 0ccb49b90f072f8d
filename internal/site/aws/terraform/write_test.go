package terraform_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"godwit/internal/site/aws/terraform"
)

func write(t *testing.T, tree terraform.Tree, dir string) []string {
	t.Helper()
	changed, err := tree.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWriteTwice(t *testing.T) {
	t.Parallel()
	l := parse(t, bistro)
	tree, dir := render(t, l), filepath.Join(t.TempDir(), "out")
	if changed := write(t, tree, dir); !slices.Equal(changed, tree.Paths()) {
		t.Errorf("wrote %d of %d files", len(changed), len(tree))
	}
	if changed := write(t, tree, dir); len(changed) > 0 {
		t.Errorf("written again although the same: %v", changed)
	}
	l.AWS.Region = "eu-west-1"
	want := []string{"account/backend.hcl", "account/providers.tf"}
	for _, e := range l.Environments {
		want = append(want, "environments/"+e.Name+"/backend.hcl", "environments/"+e.Name+"/main.tf")
	}
	slices.Sort(want)
	if changed := write(t, render(t, l), dir); !slices.Equal(changed, want) {
		t.Errorf("another region changes %v, want %v", changed, want)
	}
}

// TestWriteLeavesAlone: what people and Terraform keep beside the rendered files
// stays, and what was rendered once goes.
func TestWriteLeavesAlone(t *testing.T) {
	t.Parallel()
	l, dir := parse(t, bistro), t.TempDir()
	write(t, render(t, l), dir)
	theirs := []string{"environments/test/terraform.tfvars", "environments/test/own.tf", "environments/test/terraform.tfstate",
		"environments/test/.terraform.lock.hcl", "environments/test/.terraform/modules/main.tf", "notes.md"}
	for _, name := range theirs {
		put(t, dir, name, "# somebody else's\n")
	}
	// Copies that a tool keeps are its own, mark or not.
	put(t, dir, "environments/test/.terraform/copy.tf", "# Rendered by godwit\n")
	put(t, dir, "environments/stage/left.tf", "# Rendered by godwit\n")
	l.Environments = l.Environments[:1] // test
	l.Migrations = nil
	changed := write(t, render(t, l), dir)
	for _, name := range append(theirs, "environments/test/.terraform/copy.tf") {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if !slices.Contains(changed, "environments/stage/left.tf") || !slices.Contains(changed, "environments/production/main.tf") {
		t.Errorf("changed are %v", changed)
	}
	for _, gone := range []string{"environments/stage", "environments/production"} {
		if _, err := os.Stat(filepath.Join(dir, gone)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
}

// TestWriteRefuses: nothing is written when something is in the way.
func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	tree := render(t, parse(t, bistro))
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"a file of others": func(t *testing.T, dir string) { put(t, dir, "modules/network/main.tf", "# mine\n") },
		"a directory":      func(t *testing.T, dir string) { put(t, dir, "README.md/x", "") },
		"a way out": func(t *testing.T, dir string) {
			outside := t.TempDir()
			if err := os.Symlink(outside, filepath.Join(dir, "modules")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			prepare(t, dir)
			changed, err := tree.Write(dir)
			if err == nil || len(changed) > 0 {
				t.Errorf("wrote %d files, error %v", len(changed), err)
			}
			if _, err := os.Stat(filepath.Join(dir, "account")); !errors.Is(err, os.ErrNotExist) {
				t.Error("something was written")
			}
		})
	}
	dir := t.TempDir()
	put(t, dir, "README.md", "# mine\n")
	if _, err := tree.Write(dir); !errors.Is(err, terraform.ErrForeign) {
		t.Errorf("got %v", err)
	}
}
