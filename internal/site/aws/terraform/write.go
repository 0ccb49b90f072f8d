package terraform

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// ErrForeign: a file is in the way that godwit did not write.
var ErrForeign = errors.New("is not godwit's")

// Write makes a directory hold the tree, and says which files it wrote or
// removed. Each file is replaced as a whole; one that is the same already is not
// touched. Files that godwit once rendered and that are not in the tree any more
// are removed; others, variables and states, are left alone. When a file is in
// the way that godwit did not write, nothing is written.
func (t Tree) Write(dir string) (changed []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir) // no link leads out of it
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	outdated, err := t.outdated(root)
	if err != nil {
		return nil, fmt.Errorf("writing Terraform into %s: %w", dir, err)
	}
	stale, err := t.stale(root)
	if err != nil {
		return nil, fmt.Errorf("writing Terraform into %s: %w", dir, err)
	}
	for _, name := range outdated {
		if err := replace(root, name, t[name]); err != nil {
			return changed, fmt.Errorf("writing Terraform into %s: %w", dir, err)
		}
		changed = append(changed, name)
	}
	for _, name := range stale {
		if err := remove(root, name); err != nil && !errors.Is(err, fs.ErrNotExist) { // another renders too
			return changed, fmt.Errorf("removing what is not declared any more from %s: %w", dir, err)
		}
		changed = append(changed, name)
	}
	slices.Sort(changed)
	return changed, nil
}

// outdated are the files that have to be written.
func (t Tree) outdated(root *os.Root) ([]string, error) {
	var all []string
	for _, name := range t.Paths() {
		if !fs.ValidPath(name) {
			return nil, fmt.Errorf("%q is no path of a tree", name)
		}
		content, err := root.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			all = append(all, name)
		case err != nil:
			return nil, err
		case !rendered(content):
			return nil, fmt.Errorf("%s %w: move it away, or render somewhere else", name, ErrForeign)
		case !bytes.Equal(content, t[name]):
			all = append(all, name)
		}
	}
	return all, nil
}

// stale are rendered files that are not in the tree.
func (t Tree) stale(root *os.Root) ([]string, error) {
	var all []string
	err := fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir // .terraform, .git: others'
		}
		if _, current := t[name]; current || !entry.Type().IsRegular() || !slices.Contains([]string{".tf", ".hcl", ".md"}, path.Ext(name)) {
			return nil
		}
		content, err := root.ReadFile(name)
		if err == nil && rendered(content) {
			all = append(all, name)
		}
		return err
	})
	return all, err
}

// rendered says whether godwit wrote a file: its first line says so.
func rendered(content []byte) bool {
	first, _, _ := bytes.Cut(content, []byte("\n"))
	return bytes.HasPrefix(first, []byte("# "+marker)) || bytes.HasPrefix(first, []byte("<!-- "+marker))
}

// replace writes a file beside the old one and puts it into its place.
func replace(root *os.Root, name string, content []byte) (err error) {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	// A name of its own: two may render at once.
	next := path.Join(path.Dir(name), "."+path.Base(name)+"."+rand.Text()[:8]+".godwit")
	f, err := root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.Remove(next))
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return root.Rename(next, name)
}

// remove takes a file away, and the directories that are empty then.
func remove(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		entries, err := fs.ReadDir(root.FS(), dir)
		if err != nil || len(entries) > 0 {
			return err
		}
		if err := root.Remove(dir); err != nil {
			return err
		}
	}
	return nil
}
