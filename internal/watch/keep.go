//go:build unix

package watch

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/lockfile"
)

const (
	// look is how often it is looked whether something has become wanted.
	look = 100 * time.Millisecond
	// settled is how long a process has to run for its next end to be a new one.
	settled = 5 * time.Second
)

// Keep keeps the processes of these roles running until ctx ends. They go on then.
func (w *Watch) Keep(ctx context.Context, roles ...Role) {
	if err := w.Make(); err != nil {
		w.log.Error("nothing watches the processes", "error", err)
		return
	}
	var keeping sync.WaitGroup
	for _, r := range roles {
		keeping.Go(func() { w.keep(ctx, r) })
		keeping.Go(func() { w.replaceHung(ctx, r) })
	}
	keeping.Wait()
}

// keep starts a role's process whenever there is none and one is wanted.
func (w *Watch) keep(ctx context.Context, r Role) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, time.Second
	for ctx.Err() == nil {
		if !w.wants(r) {
			sleep(ctx, look)
			continue
		}
		lock, err := lockfile.Wait(ctx, w.lock(r), lockfile.Alone)
		if err != nil {
			if ctx.Err() == nil {
				w.log.Error("cannot watch", "role", r, "error", err)
				sleep(ctx, time.Second)
			}
			continue
		}
		began := time.Now()
		child, err := w.start(r, lock)
		if errors.Is(err, errUnwanted) {
			continue
		}
		if err != nil {
			w.log.Error("cannot start", "role", r, "error", err)
		} else if state := w.attend(ctx, r, child); ctx.Err() == nil {
			w.log.Warn("ended", "role", r, "pid", child.cmd.Process.Pid, "state", state)
		}
		if time.Since(began) > settled {
			pause.Reset()
			continue
		}
		sleep(ctx, pause.NextBackOff())
	}
}

// attend waits for the end of a process. One that hangs before it has taken its role
// cannot be asked, and only who started it knows which one it is.
func (w *Watch) attend(ctx context.Context, r Role, c *Child) *os.ProcessState {
	late := time.AfterFunc(firstPatience, func() {
		if c.Ended() == nil && w.Pid(r) == 0 {
			w.log.Warn("it does not come to its role; it is killed and replaced", "role", r, "pid", c.cmd.Process.Pid)
			_ = c.cmd.Process.Kill()
		}
	})
	defer late.Stop()
	return c.wait(ctx)
}

// Start starts a process of a role, unless one runs already: then it returns nil.
func (w *Watch) Start(r Role) (*Child, error) {
	if err := w.Make(); err != nil {
		return nil, err
	}
	lock, err := lockfile.Try(w.lock(r), lockfile.Alone)
	if errors.Is(err, lockfile.ErrHeld) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return w.start(r, lock)
}

var errUnwanted = errors.New("it is not wanted")

// start starts a role's process, which inherits its lock. It takes the lock over.
func (w *Watch) start(r Role, lock *lockfile.Lock) (*Child, error) {
	if !w.wants(r) { // since the lock is held nobody makes it so and misses this one
		return nil, errors.Join(errUnwanted, lock.Unlock())
	}
	cmd, done, err := w.command(r, lock.File())
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	defer done()
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	_ = lock.Close() // the child has it
	c := &Child{cmd: cmd, ended: make(chan struct{})}
	go func() { // reaps it; the only goroutine that may end with this process
		defer close(c.ended)
		_ = cmd.Wait() // ProcessState has it
	}()
	w.log.Info("started", "role", r, "pid", cmd.Process.Pid)
	return c, nil
}

// Child is a process that was started here.
type Child struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// Ended is how it has ended; nil while it runs.
func (c *Child) Ended() *os.ProcessState {
	select {
	case <-c.ended:
		return c.cmd.ProcessState
	default:
		return nil
	}
}

func (c *Child) wait(ctx context.Context) *os.ProcessState {
	select {
	case <-c.ended:
		return c.cmd.ProcessState
	case <-ctx.Done():
		return nil
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
