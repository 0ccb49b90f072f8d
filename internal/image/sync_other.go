//go:build !linux

package image

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// syncTree makes all that was written below dir durable, file by file.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !(d.IsDir() || d.Type().IsRegular()) {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
