package confine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// walls are around a process that has no rights of its own.
type walls struct {
	id      int // its uid and gid, when root starts it
	files   []Rule
	ports   *[]uint16 // the only ones that it connects to, over TCP; nil for all
	netlink []uint64  // what it may ask the kernel beside its own addresses and routes
}

// execute executes this program once more, inside. It returns only when that
// fails, never with nil.
func (w walls) execute(args []string) error {
	runtime.LockOSThread() // what is executed gets what this thread has
	if os.Geteuid() == 0 {
		if err := becomeID(w.id); err != nil {
			return err
		}
	}
	if err := restrict(w.files, w.ports); err != nil {
		return err
	}
	if err := filterServer(w.netlink, w.ports != nil); err != nil {
		return err
	}
	return again(args, os.Environ())
}

// again executes this program once more, with what this thread may still do.
func again(args, env []string) error {
	err := syscall.Exec("/proc/self/exe", args, env)
	if errors.Is(err, os.ErrPermission) {
		err = ErrNotExecutable
	}
	return fmt.Errorf("confine this process: %w", err)
}

// reads are the files without which no program runs or finds a name.
func reads() []Rule {
	var rules []Rule
	for _, path := range append([]string{"/proc/self/exe", "/etc", "/usr", "/lib", "/lib64"}, resolver()...) {
		rules = append(rules, Rule{path, Use})
	}
	return rules
}

// resolver is where the file that names the servers of names is, on a machine
// where /etc only has a link to it. Its directory counts: the file is replaced now
// and then.
func resolver() []string {
	path, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil || !strings.HasPrefix(path, "/run/") {
		return nil
	}
	return []string{filepath.Dir(path)}
}

// becomeID changes the ids of this thread alone; root's capabilities go with them.
func becomeID(id int) error {
	if err := DropBounding(); err != nil {
		return err
	}
	for _, call := range []struct{ number, a, b, c uintptr }{
		{unix.SYS_SETGROUPS, 0, 0, 0}, {unix.SYS_SETRESGID, uintptr(id), uintptr(id), uintptr(id)}, {unix.SYS_SETRESUID, uintptr(id), uintptr(id), uintptr(id)},
	} {
		if _, _, errno := unix.RawSyscall(call.number, call.a, call.b, call.c); errno != 0 {
			return fmt.Errorf("become %d: %w", id, errno)
		}
	}
	return nil
}
