package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// save replaces a file by a JSON document: a reader, or a crash, finds the old
// one or the new one, whole.
func save(path string, v any) error {
	temporary, err := stage(path, v)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return syncDir(filepath.Dir(path))
}

// saveFirst is save, but who comes second gets fs.ErrExist.
func saveFirst(path string, v any) error {
	temporary, err := stage(path, v)
	if err != nil {
		return err
	}
	err = os.Link(temporary, path)
	if err := errors.Join(err, os.Remove(temporary)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func stage(path string, v any) (temporary string, err error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, give(f, filepath.Dir(path)))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// load reads a document into v; false when there is none.
func load(path string, v any) (bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	return true, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
