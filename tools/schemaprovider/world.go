package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// world is what has been created: a directory with a file for each resource.
// OpenTofu starts a process per provider configuration and command, and asks ten
// things at a time: a file is made whole or not at all, and only one of two who
// would make the same one does.
type world struct{ dir string }

// entry is one resource. Its key is "type/region/id".
type entry struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Key   string          `json:"key"`
	State json.RawMessage `json:"state"`
}

// errTaken: a resource with that key exists.
var errTaken = errors.New("already exists: two resources would manage the same thing")

// openWorld does not touch the directory: validate needs none. Without one nothing
// is kept, and reading finds what the state says.
func openWorld(dir string) *world { return &world{dir: dir} }

func (w *world) kept() bool { return w.dir != "" }

// path of a resource's file. A key may be longer than a file's name.
func (w *world) path(kind, key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(w.dir, kind+"-"+hex.EncodeToString(sum[:12])+".json")
}

// get is a resource, if it is there.
func (w *world) get(kind, key string) (entry, bool, error) {
	var e entry
	raw, err := os.ReadFile(w.path(kind, key))
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &e)
	}
	if err != nil {
		return e, false, fmt.Errorf("the world's %s: %w", key, err)
	}
	return e, true, nil
}

// all are the resources of the kinds that pass.
func (w *world) all(pass func(kind string) bool) ([]entry, error) {
	files, err := os.ReadDir(w.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []entry
	for _, f := range files {
		kind, _, _ := strings.Cut(f.Name(), "-")
		if filepath.Ext(f.Name()) != ".json" || !pass(kind) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(w.dir, f.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		var e entry
		if err == nil {
			err = json.Unmarshal(raw, &e)
		}
		if err != nil {
			return nil, fmt.Errorf("the world's %s: %w", f.Name(), err)
		}
		found = append(found, e)
	}
	return found, err
}

// add makes a resource; errTaken, when there is one.
func (w *world) add(e entry) error {
	return w.write(e, func(from, to string) error {
		if err := os.Link(from, to); errors.Is(err, fs.ErrExist) {
			return errTaken
		} else if err != nil {
			return err
		}
		return nil
	})
}

// put changes a resource.
func (w *world) put(e entry) error { return w.write(e, os.Rename) }

func (w *world) write(e entry, place func(from, to string) error) error {
	if !w.kept() {
		return nil
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(w.dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(next.Name())
	_, err = next.Write(raw)
	if err := errors.Join(err, next.Close()); err != nil {
		return err
	}
	return place(next.Name(), w.path(e.Type, e.Key))
}

func (w *world) remove(kind, key string) error {
	if !w.kept() {
		return nil
	}
	if err := os.Remove(w.path(kind, key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil // gone already: deleted by hand
}
