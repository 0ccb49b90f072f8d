package gateway

import (
	"context"
	"fmt"
	"os"
	"sync"

	"godwit/internal/lockfile"
)

// turn is the right to become the gateway of an admin socket, from the search for
// one that runs until the sockets are in place. Between the two the old gateway
// listens no more for heirs and the new one not yet: a third would find nobody,
// and take the address for free or the other's place.
type turn struct {
	lock *lockfile.Lock
	path string
	once sync.Once
}

func takeTurn(ctx context.Context, admin string) (*turn, error) {
	path := admin + ".turn"
	lock, err := lockfile.Wait(ctx, path, lockfile.Alone)
	if err != nil {
		return nil, fmt.Errorf("another gateway is just starting for %s: %w", admin, err)
	}
	return &turn{lock: lock, path: path}, nil
}

// end lets the next one begin. The file goes while the lock is held: who waits
// for it sees that, and makes another. A nil turn has nothing to end.
func (t *turn) end() {
	if t == nil {
		return
	}
	t.once.Do(func() {
		_ = os.Remove(t.path)
		_ = t.lock.Unlock()
	})
}
