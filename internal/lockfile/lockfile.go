//go:build unix

// Package lockfile is locks on files and directories. A lock is held by an open
// descriptor: the kernel takes it back when the last process that has the
// descriptor ends, however it ends. Nothing is left to clean up after a crash,
// and a lock file may stay where it is.
//
// A Lock is that of what is at its path: a file that was removed or replaced while
// somebody waited for it is not taken for it. Locks hold between goroutines of one
// process too, each of which takes its own. They are advisory, and say nothing on
// file systems that other machines share.
//
// It is not gofrs/flock because that hides the descriptor, which a program that
// works under a lock has to inherit, frees the lock of those that did, and takes
// the lock of a file that is gone.
//
// It stands on nothing of godwit; who keeps something on disk imports it.
package lockfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// ErrHeld: another has the lock.
var ErrHeld = errors.New("another holds the lock")

// Kind is how a lock is held.
type Kind int

const (
	Alone  Kind = syscall.LOCK_EX
	Shared Kind = syscall.LOCK_SH // with others that share it
)

// Lock is one that this process holds.
type Lock struct {
	file *os.File
	path string
}

// Try takes the lock on a directory, which exists, or on a file, which is made
// (mode 0600) when it is not there. It does not wait: ErrHeld when another has it.
func Try(path string, kind Kind) (*Lock, error) {
	for {
		f, err := open(path)
		if err != nil {
			return nil, err
		}
		err = take(f, kind)
		if err == nil {
			return &Lock{f, path}, nil
		}
		f.Close()
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK):
			return nil, fmt.Errorf("%w: %s", ErrHeld, path)
		case !errors.Is(err, errReplaced):
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// Wait is Try, but it waits until it has the lock or ctx ends; the error is then
// how ctx ended.
func Wait(ctx context.Context, path string, kind Kind) (*Lock, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	poll := backoff.NewExponentialBackOff() // the kernel's own wait cannot be ended
	poll.InitialInterval, poll.MaxInterval = 5*time.Millisecond, 100*time.Millisecond
	l, err := backoff.Retry(ctx, func() (*Lock, error) {
		l, err := Try(path, kind)
		if err != nil && !errors.Is(err, ErrHeld) {
			err = backoff.Permanent(err)
		}
		return l, err
	}, backoff.WithBackOff(poll), backoff.WithMaxElapsedTime(0))
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("lock %s, which another process holds: %w", path, ctx.Err())
	}
	return l, err
}

func open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	}
	return f, err
}

var errReplaced = errors.New("there is another file by now")

func take(f *os.File, kind Kind) error {
	for {
		err := syscall.Flock(int(f.Fd()), int(kind)|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
	// Who held it may have removed or replaced it: then this is the lock of nothing.
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(f.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, there) {
		return errReplaced
	}
	return err
}

// Sign leaves a text in the lock file, for whoever finds the lock taken.
func (l *Lock) Sign(text string) error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// longestText is what Holder reads of what Sign left.
const longestText = 512

// Holder is what the last one that took the lock said of itself; "" when it said
// nothing. Whether it has the lock still, Try says.
func Holder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, longestText)) // half of it says something, too
	return strings.TrimSpace(string(text))
}

// File is what a program inherits that works under the lock, and that may outlive
// this process.
func (l *Lock) File() *os.File { return l.file }

// Unlock frees the lock, also for those that have inherited it.
func (l *Lock) Unlock() error {
	return errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
}

// Close lets go of the lock. It is free once all that have inherited it have ended.
func (l *Lock) Close() error { return l.file.Close() }
