package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"godwit/internal/store"
)

const documentIdentity = "identity"

// identity is who this engine is to the databases that it moves.
type identity struct {
	State      string `json:"state"`      // id of the state directory, made once; what moves is noted as its own
	Generation uint64 `json:"generation"` // of this engine: higher than those of all before it
}

// identified is the identity of this process, once it is known.
type identified struct {
	mu sync.Mutex
	identity
}

// of returns the identity, and writes down, once in the life of a process, that it
// is another one: before its first session that could change a database. An engine
// that only looks needs none, and starts where nothing can be written.
func (i *identified) of(ctx context.Context, s *store.Store) (identity, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.Generation > 0 {
		return i.identity, nil
	}
	var now identity
	if _, err := s.Get(ctx, documentIdentity, "engine", &now); err != nil {
		return now, fmt.Errorf("which state directory this is: %w", err)
	}
	if now.State == "" {
		id := make([]byte, 8)
		rand.Read(id) // never fails
		now.State = hex.EncodeToString(id)
	}
	// The clock is a floor: a store from a backup is not behind what has run meanwhile.
	now.Generation = max(now.Generation+1, uint64(time.Now().Unix()))
	if err := s.Put(ctx, documentIdentity, "engine", now); err != nil {
		return now, fmt.Errorf("writing down that this engine is the next one: %w", err)
	}
	i.identity = now
	return now, nil
}
