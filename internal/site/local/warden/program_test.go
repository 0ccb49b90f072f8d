//go:build linux

package warden_test

import (
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"godwit/internal/site/local/network"
	"godwit/internal/site/local/runtime"
	"godwit/internal/site/local/warden"
)

// runName is the argument under which the test binary runs a program as its
// child, as commands of godwit do that build images or run pipelines.
const runName = "run-a-program"

func run(words []string) int {
	if words[0] == "/script" {
		words = words[1:] // it names itself
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// TestProgramOutOfReach: an image that has godwit started again inside, as
// /proc/self/exe, changes nothing of the host's godwit, neither when root runs
// it nor when an ordinary user does, whose file it is.
func TestProgramOutOfReach(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Run("ordinary user", func(t *testing.T) { asOrdinary(t, "^TestProgramOutOfReach$") })
	}
	before := looks(t)
	w := newWorld(t, "10.91.5")
	w.open(network.Rules{})
	for n, entry := range []string{"/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe", "/script"} {
		i := w.instance(n + 3)
		i.Spec.Command = []string{entry, runName, "/guest", "reach"}
		if entry == "/script" {
			i.Spec.Command = []string{entry, "/guest", "reach"}
		}
		i.Spec.Binds = libraries(t)
		if err := w.PutInstance(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		status := w.await(i.Spec.ID, "tried", func(s warden.Status) bool { return s.Restarts > 0 })
		log, err := os.ReadFile(warden.LogFile(w.dir, i.Spec.ID))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(log), "REACH done") && !strings.Contains(status.Reason, "permission denied") {
			t.Errorf("%s: it tried nothing: %s: %s", entry, status.Reason, log)
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, "REACH worked") {
				t.Errorf("%s: %s", entry, line)
			}
		}
		if err := w.Remove(t.Context(), i.Spec.ID); err != nil {
			t.Fatal(err)
		}
		if after := looks(t); after != before {
			t.Fatalf("%s: the host's program is %s, was %s", entry, after, before)
		}
	}
	w.launch(w.instance(2)) // and instances start as before
}

// libraries are those that the program needs to be started inside too: an image
// can bring them along.
func libraries(t *testing.T) (binds []runtime.Bind) {
	t.Helper()
	program, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if needed, err := program.ImportedLibraries(); err != nil || len(needed) == 0 {
		return nil // it is static
	}
	for _, dir := range []string{"/lib", "/lib64"} {
		if _, err := os.Stat(dir); err == nil {
			binds = append(binds, runtime.Bind{Source: dir, Target: dir})
		}
	}
	return binds
}

// looks is all that could be changed of the host's program.
func looks(t *testing.T) string {
	t.Helper()
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	var s syscall.Stat_t
	sum := sha256.New()
	if _, err = io.Copy(sum, program); err == nil {
		err = syscall.Fstat(int(program.Fd()), &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	attributes := make([]byte, 4096)
	n, _ := unix.Flistxattr(int(program.Fd()), attributes)
	return fmt.Sprintf("mode %o, %d bytes, owner %d:%d, %d links, changed %v, attributes %q, sha256 %x",
		s.Mode, s.Size, s.Uid, s.Gid, s.Nlink, s.Ctim, attributes[:max(n, 0)], sum.Sum(nil))
}

// asOrdinary runs a test of this package again as an ordinary user who owns the
// program, as one does who built it.
func asOrdinary(t *testing.T, name string) {
	t.Helper()
	const id = 54321
	dir, err := os.MkdirTemp("", "o")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "program")
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", own, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, path := range []string{dir, program} {
		if err := os.Chown(path, id, id); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run", name, "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir, "GODWIT_TEST_GUEST="+filepath.Join(guest, "guest"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id, Groups: []uint32{}}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestShimThroughReadOnly: also where no Landlock is, or not yet, what an instance
// begins as is executed through a mount that cannot be written, by whoever gets at it.
func TestShimThroughReadOnly(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Run("ordinary user", func(t *testing.T) { asOrdinary(t, "^TestShimThroughReadOnly$") })
	}
	before := looks(t)
	w := newWorld(t, "10.91.6")
	w.open(network.Rules{})
	i := w.instance(2)
	// It waits for a lock, as the shim that it still is.
	lock := w.locked(t, &i)
	if err := w.PutInstance(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	exe := "/proc/" + w.shim(t) + "/exe"
	for name, err := range map[string]error{"chmod": os.Chmod(exe, 0o777), "truncate": os.Truncate(exe, 0), "chown": os.Chown(exe, os.Getuid(), os.Getgid()),
		"utimes": os.Chtimes(exe, time.Unix(0, 0), time.Unix(0, 0)), "setxattr": unix.Setxattr(exe, "user.godwit", []byte("x"), 0)} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s %s: %v", name, exe, err)
		}
	}
	if after := looks(t); after != before {
		t.Fatalf("the host's program is %s, was %s", after, before)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	w.await("i2", "ready", func(s warden.Status) bool { return s.Ready })
}

// locked gives an instance a lock that it waits for until the file is closed.
func (w *world) locked(t *testing.T, i *warden.Instance) *os.File {
	t.Helper()
	held := filepath.Join(w.dir, "held") // the only place that is both here and in the warden's world
	if err := errors.Join(os.Mkdir(held, 0o777), os.Chmod(held, 0o777)); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(held, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = errors.Join(lock.Chmod(0o666), unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	i.Spec.Binds, i.Spec.Lock = []runtime.Bind{{Source: held, Target: "/held", Writable: true}}, "/held/lock"
	return lock
}

// shim is the process of the only instance, once it waits for its lock.
func (w *world) shim(t *testing.T) (pid string) {
	t.Helper()
	own, err := warden.Pid(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the shim waits for its lock", func() bool {
		for _, pid = range inside(t, own)[1:] {
			fds, _ := filepath.Glob("/proc/" + pid + "/fd/*")
			for _, fd := range fds {
				if to, err := os.Readlink(fd); err == nil && strings.HasSuffix(to, "held/lock") {
					return true
				}
			}
		}
		return false
	})
	return pid
}

// TestUmask: what the caller masks is not missing from what it starts.
func TestUmask(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	w := newWorld(t, "10.91.7")
	w.open(network.Rules{})
	w.launch(w.instance(2))
}

// TestReplacedProgram: an environment whose program was replaced on disk since
// it was started, as a package manager does, still gets instances, of the one
// that runs.
func TestReplacedProgram(t *testing.T) {
	if os.Getenv(replacedEnv) == "" {
		if os.Getuid() != 0 {
			t.Skip("becoming another user needs root")
		}
		t.Setenv(replacedEnv, "yes")
		asOrdinary(t, "^TestReplacedProgram$")
		return
	}
	own, err := os.Executable()
	if err == nil {
		err = os.Rename(own, own+".old")
	}
	if err == nil {
		err = os.WriteFile(own, []byte("#!/bin/false\n"), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds what the first has left
		w := newWorld(t, "10.91.8")
		w.open(network.Rules{})
		w.launch(w.instance(2))
		if err := warden.Kill(t.Context(), w.dir); err != nil {
			t.Fatal(err)
		}
	}
}

const replacedEnv = "GODWIT_TEST_REPLACED"

// TestWorkDirOutside: no link leads the program to what the shim had open.
func TestWorkDirOutside(t *testing.T) {
	w := newWorld(t, "10.91.9")
	for fd := range 16 {
		i := w.instance(2)
		i.Spec.WorkDir = fmt.Sprintf("/proc/self/fd/%d", fd)
		if err := w.PutInstance(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		if s := w.await("i2", "refused", func(s warden.Status) bool { return s.Running || s.Restarts > 0 }); !strings.Contains(s.Reason, "working directory") {
			t.Errorf("%s: %+v", i.Spec.WorkDir, s)
		}
		if err := w.Remove(t.Context(), "i2"); err != nil {
			t.Fatal(err)
		}
	}
}
