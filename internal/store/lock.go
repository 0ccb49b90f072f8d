//go:build unix

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// acquire takes the lock file at path for this process, or says who has it. The
// kernel gives the lock back when the process ends, however it ends.
func acquire(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("store: locking %s: %w", path, err)
		}
		holder, _ := io.ReadAll(io.LimitReader(file, 32))
		return nil, fmt.Errorf("%w (pid %s holds %s): use that engine, or end it first",
			ErrLocked, strings.TrimSpace(string(holder)), path)
	}
	if err := errors.Join(file.Truncate(0), sign(file)); err != nil {
		return nil, errors.Join(fmt.Errorf("store: writing %s: %w", path, err), file.Close())
	}
	return file, nil
}

// sign leaves this process's id for whoever finds the lock taken.
func sign(file *os.File) error {
	_, err := fmt.Fprintf(io.NewOffsetWriter(file, 0), "%d\n", os.Getpid())
	return err
}
