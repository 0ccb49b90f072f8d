package runtime

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// stage is where the new root is put together. /proc is sure to exist, and
// whatever is mounted over there goes with the old root.
const stage = "/proc"

// devices that a program may use.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// masked parts of /proc show nothing; the readonly ones can't be changed.
var (
	masked   = []string{"kcore", "keys", "key-users", "kallsyms", "timer_list", "sched_debug", "sysrq-trigger", "kmsg", "slabinfo", "kpagecount", "kpageflags"}
	readonly = []string{"sys", "irq", "bus", "fs", "pressure"}
)

// scratchFile is how many bytes of scratch allow for one file more.
const scratchFile = 4096

// own are the top-level names of the root that are never taken from the image.
var own = []string{"proc", "sys", "dev", "tmp", "run", "etc", imageAside}

// imageAside is where the image is attached while its parts are shown.
const imageAside = ".godwit-image"

// buildRoot makes the root: a small tmpfs that holds the places, with the parts
// of the image mounted read-only on them. Nothing of the image has to exist for
// a place to be there, and nothing is copied.
func buildRoot(s Spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("tmpfs", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=1m"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	places := []func(Spec) error{mountProc, mountDevices, mountScratch, mountImage, mountBinds, makeSymlinks, writeFiles}
	for _, place := range places {
		if err := place(s); err != nil {
			return err
		}
	}
	if err := os.Chdir(stage); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return setReadonly("/")
}

func setReadonly(path string) error {
	err := unix.MountSetattr(unix.AT_FDCWD, path, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}

func mountProc(Spec) error {
	proc := stage + "/proc"
	if err := os.Mkdir(proc, 0o555); err != nil {
		return err
	}
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, name := range masked {
		if err := mask(filepath.Join(proc, name)); err != nil {
			return err
		}
	}
	for _, name := range readonly {
		p := filepath.Join(proc, name)
		err := unix.Mount(p, p, "", unix.MS_BIND, "")
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("bind /proc/%s: %w", name, err)
		}
		if err := setReadonly(p); err != nil {
			return err
		}
	}
	return nil
}

func mask(path string) error {
	err := unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("mask %s: %w", path, err)
	}
	return nil
}

func mountDevices(Spec) error {
	dev := stage + "/dev"
	if err := os.Mkdir(dev, 0o755); err != nil {
		return err
	}
	for _, name := range devices {
		at := filepath.Join(dev, name)
		if err := touch(at); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("device %s: %w", name, err)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}

func mountScratch(s Spec) error {
	if err := os.Mkdir(stage+"/sys", 0o555); err != nil {
		return err
	}
	for _, name := range []string{"tmp", "run", "dev/shm"} {
		at := filepath.Join(stage, name)
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		// An empty file takes memory too, which the size does not count.
		options := fmt.Sprintf("mode=1777,size=%d,nr_inodes=%d", s.Scratch, 1024+s.Scratch/scratchFile)
		if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			return fmt.Errorf("mount /%s: %w", name, err)
		}
	}
	return nil
}

// mountImage shows each top-level part of the image, except those that the
// instance has of its own; of /etc each part is shown unless writeFiles makes it.
func mountImage(s Spec) error {
	if err := os.Mkdir(stage+"/etc", 0o755); err != nil {
		return err
	}
	if s.Rootfs == "" {
		return nil
	}
	// Attached out of the way; its parts are bound from there.
	aside := stage + "/" + imageAside
	if err := os.Mkdir(aside, 0o755); err != nil {
		return err
	}
	if err := Attach(os.NewFile(treesFD, s.Rootfs), aside); err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	if err := showParts(aside, stage, own); err != nil {
		return err
	}
	if err := showParts(aside+"/etc", stage+"/etc", slices.Collect(maps.Keys(files(s)))); err != nil {
		return err
	}
	if err := unix.Unmount(aside, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	return os.Remove(aside)
}

func showParts(from, to string, except []string) error {
	info, err := os.Lstat(from)
	if errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("read the image: %w", err)
	}
	for _, e := range entries {
		if slices.Contains(except, e.Name()) {
			continue
		}
		if err := show(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), e.Type()); err != nil {
			return err
		}
	}
	return nil
}

func show(from, to string, kind os.FileMode) error {
	switch {
	case kind&os.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case kind.IsDir():
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
	case kind.IsRegular():
		if err := touch(to); err != nil {
			return err
		}
	default:
		return nil // an image's pipes, sockets and devices are nobody's business
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show %s of the image: %w", filepath.Base(to), err)
	}
	return nil
}

func mountBinds(s Spec) error {
	fd := treesFD
	if s.Rootfs != "" {
		fd++
	}
	for i, b := range s.Binds {
		tree := os.NewFile(uintptr(fd+i), b.Source)
		info, err := tree.Stat()
		if err != nil {
			return fmt.Errorf("bind %s: %w", b.Target, err)
		}
		at := filepath.Join(stage, filepath.Clean("/"+b.Target))
		if err := makePlace(at, info.IsDir()); err != nil {
			return fmt.Errorf("place for %s: %w", b.Target, err)
		}
		if err := Attach(tree, at); err != nil {
			return fmt.Errorf("bind %s: %w", b.Target, err)
		}
	}
	return nil
}

func makePlace(at string, dir bool) error {
	if _, err := os.Lstat(at); err == nil {
		return nil
	}
	if dir {
		return os.MkdirAll(at, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return touch(at)
}

func makeSymlinks(s Spec) error {
	for path, target := range s.Symlinks {
		at := filepath.Join(stage, filepath.Clean("/"+path))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, at); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// files of /etc that are the instance's own.
func files(s Spec) map[string]string {
	var hosts strings.Builder
	fmt.Fprintf(&hosts, "127.0.0.1 localhost\n::1 localhost\n%s %s\n", s.Address, s.Hostname)
	for _, name := range slices.Sorted(maps.Keys(s.Hosts)) {
		fmt.Fprintf(&hosts, "%s %s\n", s.Hosts[name], name)
	}
	return map[string]string{
		"hosts":         hosts.String(),
		"hostname":      s.Hostname + "\n",
		"resolv.conf":   "",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"passwd":        fmt.Sprintf("app:x:%d:%d:app:/tmp:/sbin/nologin\n", InsideID, InsideID),
		"group":         fmt.Sprintf("app:x:%d:\n", InsideID),
	}
}

func writeFiles(s Spec) error {
	for name, text := range files(s) {
		if err := os.WriteFile(filepath.Join(stage, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
