package warden

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"godwit/internal/site/local/runtime"
)

// devices that instances get, and so the warden must have.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}

// stage is where the new root is put together; every machine has it.
const stage = "/proc"

// buildWorld leaves the host's file tree: the warden's root is a tmpfs with its
// state directory and its trees at the places they have on the host, the
// devices and a /proc of its own. Nothing else of the host can be reached.
func buildWorld(s settings) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	trees, err := ownTrees(s)
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", stage, "tmpfs", unix.MS_NOSUID, "mode=0755,size=4m"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	for i, t := range s.trees() {
		if err := place(trees[i], t.path); err != nil {
			return err
		}
	}
	for _, device := range devices {
		if err := bindDevice(device); err != nil {
			return err
		}
	}
	if err := os.Mkdir(stage+"/proc", 0o555); err != nil {
		return err
	}
	if err := unix.Mount("proc", stage+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w (something hides parts of this machine's /proc; a container needs it unmasked)", err)
	}
	if err := os.Chdir(stage); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's files: %w", err)
	}
	return os.Chdir("/")
}

// ownTrees are those that root passed, or else opened with the user's own rights.
func ownTrees(s settings) ([]*os.File, error) {
	if !s.TreesPassed {
		return openTrees(s.Config)
	}
	var trees []*os.File
	for i, t := range s.trees() {
		trees = append(trees, os.NewFile(uintptr(treesFD+i), t.path))
	}
	return trees, nil
}

func place(tree *os.File, path string) error {
	info, err := tree.Stat()
	if err != nil {
		return err
	}
	at := filepath.Join(stage, path)
	if info.IsDir() {
		err = os.MkdirAll(at, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(at), 0o755); err == nil {
		err = touch(at)
	}
	if err != nil {
		return fmt.Errorf("place for %s: %w", path, err)
	}
	defer tree.Close()
	return runtime.Attach(tree, at)
}

func bindDevice(path string) error {
	at := filepath.Join(stage, path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := touch(at); err != nil {
		return err
	}
	if err := unix.Mount(path, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("device %s: %w", path, err)
	}
	return nil
}

func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}
