//go:build !linux

package postgres

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// dieWithParent can't be had here: only Linux tells a child of its parent's end.
func dieWithParent(a *syscall.SysProcAttr) *syscall.SysProcAttr { return a }

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
