//go:build unix

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// hold takes a worker's lock, for as long as the file is open; nil when another
// worker has it. The kernel tells others who that is, see holder. This process
// must not open the file a second time: closing that would let go.
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

// claim keeps other runners of a pipeline away until release is called; shared
// claims, those of single stages, only keep runners away. It tries for a moment:
// a worker that a killed runner was just starting has the runner's files until
// it is a program of its own.
func claim(path, run string, shared bool) (release func() error, err error) {
	for since := time.Now(); ; time.Sleep(look) {
		release, err = claimNow(path, run, shared)
		if !errors.Is(err, ErrBusy) || time.Since(since) > 5*look {
			return release, err
		}
	}
}

func claimNow(path, run string, shared bool) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		name := make([]byte, 256)
		n, _ := f.ReadAt(name, 0)
		return nil, fmt.Errorf("%w: %s", ErrBusy, name[:n])
	}
	if err := errors.Join(f.Truncate(0), write(f, run)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

func write(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
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

// pause waits a moment, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
