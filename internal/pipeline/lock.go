//go:build unix

package pipeline

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// hold takes a worker's lock, for as long as the file is open; nil when another
// worker has it. It is no lockfile.Lock but a record lock: the kernel tells others
// which process has it, see holder, so that they can end that one and no other.
// This process must not open the file a second time: closing that would let go.
func hold(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &lock)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	return f, nil
}

// holder is the process that has a lock, 0 when nobody has.
func holder(path string) int {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil || lock.Type == syscall.F_UNLCK {
		return 0
	}
	return int(lock.Pid)
}

// end ends the process that holds a lock, gently or not.
func end(path string, gently bool) {
	pid := holder(path)
	if pid == 0 {
		return
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	defer p.Release()
	if holder(path) != pid { // the number may be another's by now
		return
	}
	s := syscall.SIGKILL
	if gently {
		s = syscall.SIGTERM
	}
	_ = p.Signal(s) // it may have ended by itself
}
