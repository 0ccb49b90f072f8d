package store

import (
	"errors"
	"fmt"
	"os"

	"godwit/internal/lockfile"
)

// acquire takes the lock file at path for this process, or says who has it.
func acquire(path string) (*lockfile.Lock, error) {
	lock, err := lockfile.Try(path, lockfile.Alone)
	if errors.Is(err, lockfile.ErrHeld) {
		return nil, fmt.Errorf("%w (pid %s holds %s): use that engine, or end it first", ErrLocked, lockfile.Holder(path), path)
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	_ = lock.Sign(fmt.Sprintf("%d\n", os.Getpid())) // a disk that takes nothing more does not take the lock
	return lock, nil
}
