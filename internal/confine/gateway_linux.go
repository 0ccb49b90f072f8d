package confine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Gateway executes this program once more as what faces clients: with ids of its
// own (when root runs it), without capabilities, unable to gain any, and allowed
// to change nothing but what is below own, and to read beside that only what
// every program reads. It returns only when that fails, never with
// nil. What it inherits it keeps.
func Gateway(id int, own string, trusts []string, args []string) error {
	runtime.LockOSThread() // what is executed gets what this thread has
	if os.Geteuid() == 0 {
		if err := becomeID(id); err != nil {
			return err
		}
	}
	rules := []Rule{{own, Use | Fill | Arrange}, {"/proc/self/exe", Use}, {"/dev/null", Use | Fill}}
	for _, path := range append([]string{"/etc", "/usr", "/lib", "/lib64", "/proc", "/sys", "/var/lib/ca-certificates"}, trusts...) {
		if path != "" {
			rules = append(rules, Rule{path, Use})
		}
	}
	if err := Files(rules); err != nil {
		return err
	}
	if err := Syscalls(); err != nil {
		return err
	}
	err := syscall.Exec("/proc/self/exe", args, os.Environ())
	if errors.Is(err, os.ErrPermission) {
		err = ErrNotExecutable
	}
	return fmt.Errorf("confine the gateway: %w", err)
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
