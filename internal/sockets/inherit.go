//go:build unix

package sockets

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// firstInherited is the first descriptor that a child inherits beside its
// standard ones.
const firstInherited = 3

// lockName is what a lock is called among what a child inherits.
const lockName = "lock"

// Give has a child that is not started yet inherit a lock and some of the
// sockets. It returns the list for the child's Inherit, and what to call once the
// child is started.
func (s *Set) Give(cmd *exec.Cmd, lock *os.File, keep func(name string) bool) (list string, done func(), err error) {
	if len(cmd.ExtraFiles) > 0 {
		return "", nil, errors.New("the child inherits something already")
	}
	some, err := s.only(keep)
	if err != nil {
		return "", nil, err
	}
	names := []string{lockName}
	cmd.ExtraFiles = append(cmd.ExtraFiles, lock)
	for _, name := range some.Names() {
		names = append(names, name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, some.files[name])
	}
	return strings.Join(names, ","), some.Close, nil
}

// Inherit is the child's side: what it was given is its own from now on. The lock
// is nil when the list is empty.
func Inherit(list string) (*Set, *os.File, error) {
	set := &Set{}
	if list == "" {
		return set, nil, nil
	}
	names := strings.Split(list, ",")
	if names[0] != lockName {
		return nil, nil, fmt.Errorf("what is inherited begins with %q, not with a lock", names[0])
	}
	unix.CloseOnExec(firstInherited)
	lock := os.NewFile(firstInherited, lockName)
	for i, name := range names[1:] {
		fd := firstInherited + 1 + i
		if listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listening == 0 {
			return nil, nil, fmt.Errorf("descriptor %d, which should be socket %s, is no listening socket (%v)", fd, name, err)
		}
		f, err := adopt(fd, name)
		if err != nil {
			return nil, nil, fmt.Errorf("inherit socket %s: %w", name, err)
		}
		set.put(name, f)
	}
	return set, lock, nil
}
