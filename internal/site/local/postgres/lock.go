package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockRetry is how often a lock that another process holds is tried again.
const lockRetry = 10 * time.Millisecond

// lock takes the lock on a file, which is made, or a directory, which exists:
// shared (syscall.LOCK_SH) or alone (syscall.LOCK_EX). Closing it gives it
// back, once every process that inherited it has ended: a program that works
// under a lock is given it, because it outlives an engine that is killed, and
// the next engine must not begin in the same place before it has ended.
func lock(ctx context.Context, path string, how int) (*os.File, error) {
	for {
		f, err := tryLock(path, how)
		if f != nil || err != nil {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %s, which another process holds: %w", path, ctx.Err())
		case <-time.After(lockRetry):
		}
	}
}

// tryLock returns nothing when it has to be tried again.
func tryLock(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	}
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err == nil {
		// Who held it may have removed or replaced it: then this is the lock of nothing.
		var mine, there os.FileInfo
		if mine, err = f.Stat(); err == nil {
			if there, err = os.Stat(path); err == nil && os.SameFile(mine, there) {
				return f, nil
			}
		}
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) || errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, err
}
