package tofutest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// World is what exists, by "type/region/id".
type World map[string]*Resource

// Resource is one of it. State has the attributes as Terraform names them; blocks
// are lists.
type Resource struct {
	Type  string         `json:"type"`
	ID    string         `json:"id"`
	Key   string         `json:"key"`
	State map[string]any `json:"state"`

	file string
}

// Of are the resources of a type.
func (w World) Of(kind string) []*Resource {
	var all []*Resource
	for _, r := range w {
		if r.Type == kind {
			all = append(all, r)
		}
	}
	return all
}

func (w *Workspace) world() string { return filepath.Join(w.home, "world") }

// World is what all roots of the workspace have made together.
func (w *Workspace) World() World {
	w.t.Helper()
	files, err := os.ReadDir(w.world())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	world := World{}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".json" {
			continue
		}
		r := &Resource{file: filepath.Join(w.world(), f.Name())}
		content, err := os.ReadFile(r.file)
		if err == nil {
			err = json.Unmarshal(content, r)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		world[r.Key] = r
	}
	return world
}

// Alter changes the world behind OpenTofu's back, which is drift: what is changed
// is different, what is deleted is gone. Between commands only.
func (w *Workspace) Alter(change func(World)) {
	w.t.Helper()
	before, after := w.World(), w.World()
	change(after)
	for key, r := range before {
		if after[key] != nil {
			continue
		}
		if err := os.Remove(r.file); err != nil {
			w.t.Fatal(err)
		}
	}
	for key, r := range after {
		content, err := json.Marshal(r)
		if err != nil {
			w.t.Fatal(err)
		}
		if r.file == "" {
			w.t.Fatalf("%s: only OpenTofu makes resources", key)
		}
		w.write(r.file, content)
	}
}

// Empty fails when something exists still.
func (w *Workspace) Empty() {
	w.t.Helper()
	var left []string
	for key := range w.World() {
		left = append(left, key)
	}
	if len(left) > 0 {
		w.t.Fatalf("still there: %s", strings.Join(left, ", "))
	}
}
