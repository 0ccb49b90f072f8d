package warden

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// programCopy is this program in the directory of its warden, where the file it
// was started from is gone or another by now.
const programCopy = "program"

// program is the path of the file that the instances of a warden start as. They
// never execute the file of the host itself: /proc/self/exe leads an image to
// what was executed, with the rights of its owner, who an ordinary user is. What
// is executed is a mount of that file which nobody can write through, see
// Config.trees.
func program(c Config, dir *os.Root) (string, error) {
	if c.Plain {
		return "", nil // instances are plain processes, and never a shim
	}
	running, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("look at the own program: %w", err)
	}
	defer running.Close()
	path, err := os.Executable()
	if err == nil && same(running, path) {
		return path, dir.RemoveAll(programCopy)
	}
	if err := copyProgram(running, dir); err != nil {
		return "", fmt.Errorf("keep the own program, which was replaced meanwhile: %w", err)
	}
	return filepath.Join(c.Dir, programCopy), nil
}

// same says whether a path leads to an open file.
func same(open *os.File, path string) bool {
	a, err := open.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

func copyProgram(running io.Reader, dir *os.Root) error {
	const partial = programCopy + ".partial"
	if err := dir.RemoveAll(partial); err != nil {
		return err
	}
	f, err := dir.OpenFile(partial, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, running)
	// Not by the mode it was made with: whatever the caller's umask is, other ids execute it.
	if err := errors.Join(err, f.Chmod(0o555), f.Close()); err != nil {
		return err
	}
	return dir.Rename(partial, programCopy)
}
