package tofutest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

var typeName = regexp.MustCompile(`\baws_[a-z0-9_]+\b`)

// types are all names in the tree and its states that could be a resource type.
// OpenTofu reads the provider's schema for each command, and the whole of it costs
// two seconds: the provider offers only these. A name that is no type stays
// unknown to it.
func (w *Workspace) types() []string {
	found := map[string]bool{}
	err := filepath.WalkDir(w.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".terraform" {
				return filepath.SkipDir
			}
			return nil
		}
		content, err := os.ReadFile(path)
		for _, name := range typeName.FindAll(content, -1) {
			found[string(name)] = true
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	// None at all would mean no restriction.
	names := []string{"aws_vpc"}
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
