//go:build unix

package lockfile

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Own says that this process is whom a lock is held for. A lock that was inherited
// does not say so by itself. It ends with the process, or as soon as the process
// closes a descriptor of this file, whichever: it had better open no second one.
func Own(lock *os.File) error {
	mine := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(lock.Fd(), unix.F_SETLK, &mine); err != nil {
		return fmt.Errorf("own the lock %s: %w", lock.Name(), err)
	}
	return nil
}

// Owner is the process that has said Own of the lock at a path; 0 when none lives.
func Owner(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	theirs := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &theirs); err != nil || theirs.Type == unix.F_UNLCK {
		return 0
	}
	return int(theirs.Pid)
}
