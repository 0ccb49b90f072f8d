package tofutest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

var (
	typeName  = regexp.MustCompile(`\baws_[a-z0-9_]+\b`)
	blockName = regexp.MustCompile(`\b(and|or|not)_statement\b`)
)

// types are all names in the tree and its states that could be a resource type,
// and the WAF statements that hold others. OpenTofu reads the provider's schema for
// each command, and the whole of it costs two seconds: the provider offers only
// these. A name that is no type stays unknown to it.
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
		names := typeName.FindAll(content, -1)
		// A state names every block there is, used or not.
		if filepath.Ext(path) == ".tf" {
			names = append(names, blockName.FindAll(content, -1)...)
		}
		for _, name := range names {
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
