package terraform_test

import (
	"bytes"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden compares what is rendered from landscapes with what was: the roots
// and the README, for the modules are written by hand.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, path := range goldens(t) {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			t.Parallel()
			got := render(t, parse(t, path))
			maps.DeleteFunc(got, func(name string, _ []byte) bool { return strings.HasPrefix(name, "modules/") })
			dir := filepath.Join(filepath.Dir(path), "tree")
			if *update {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				if _, err := got.Write(dir); err != nil {
					t.Fatal(err)
				}
			}
			want := tree(t, dir)
			for _, name := range slices.Sorted(maps.Keys(want)) {
				if _, ok := got[name]; !ok {
					t.Errorf("%s is not rendered any more", name)
				}
			}
			for _, name := range got.Paths() {
				if !bytes.Equal(got[name], want[name]) {
					t.Errorf("%s is not as it was; if it should not be, run this test with -update\ngot:\n%s", name, got[name])
				}
			}
		})
	}
}

func tree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSameBytes: what is rendered depends on the landscape and nothing else.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	first := render(t, parse(t, bistro))
	for range 20 {
		again := render(t, parse(t, bistro))
		if !maps.EqualFunc(first, again, bytes.Equal) {
			t.Fatal("the same landscape gave another tree")
		}
	}
}
