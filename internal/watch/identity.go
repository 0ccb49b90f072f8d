//go:build unix

package watch

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"godwit/internal/lockfile"
)

// ErrRunning: a process of this role runs already.
var ErrRunning = errors.New("it runs already")

// held are the locks of this process's roles, for life: a file that nothing
// refers to is closed.
var held []*os.File

// Claim makes this process the one of a role, for life. inherited is the role's
// lock, when whoever started this process has taken it; nil to take it here, for
// which ctx is the patience. ErrRunning when another has it.
func (p Place) Claim(ctx context.Context, r Role, inherited *os.File) error {
	file := inherited
	if file == nil {
		if err := p.Make(); err != nil {
			return err
		}
		lock, err := lockfile.Wait(ctx, p.lock(r), lockfile.Alone)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s of %s: %w", r, p.dir, ErrRunning)
		}
		if err != nil {
			return err
		}
		file = lock.File()
	}
	held = append(held, file)
	if err := lockfile.Own(file); err != nil {
		return fmt.Errorf("%s of %s: %w", r, p.dir, err)
	}
	return nil
}

// Pid is the process of a role; 0 when none runs, or is about to.
func (p Place) Pid(r Role) int { return lockfile.Owner(p.lock(r)) }

// Running reports whether a process of a role runs, or is being started.
func (p Place) Running(r Role) bool {
	lock, err := lockfile.Try(p.lock(r), lockfile.Shared)
	if err != nil {
		return errors.Is(err, lockfile.ErrHeld)
	}
	_ = lock.Unlock()
	return false
}

// Gone waits until no process of a role runs.
func (p Place) Gone(ctx context.Context, r Role) error {
	lock, err := lockfile.Wait(ctx, p.lock(r), lockfile.Shared)
	if err != nil {
		return fmt.Errorf("wait for the end of the %s: %w", r, err)
	}
	return lock.Unlock()
}

// Signal sends a signal to the process of a role; no error when none runs.
func (p Place) Signal(r Role, s unix.Signal) error { return p.SignalTo(r, p.Pid(r), s) }

// SignalTo sends a signal to a process if it is that of a role; no error when it is
// that no more. It goes neither to a successor, nor to a stranger that got the pid of
// one that has just ended.
func (p Place) SignalTo(r Role, pid int, s unix.Signal) error {
	if pid == 0 {
		return nil
	}
	process, err := os.FindProcess(pid) // names it, whatever the pid means later
	if err != nil {
		return err
	}
	defer process.Release()
	if p.Pid(r) != pid {
		return nil // it has ended
	}
	if err := process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal to the %s, pid %d: %w", r, pid, err)
	}
	return nil
}
