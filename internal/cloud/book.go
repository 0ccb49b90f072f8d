package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"godwit/internal/journal"
	"godwit/internal/site/aws"
	"godwit/internal/store"
)

// keptRuns is how many ended rollouts of a service are remembered.
const keptRuns = 50

// book is the journal of a service's rollouts as one document in a ledger: it
// is read once, when the lease is taken, and written whole at each step.
type book struct {
	ledger *aws.Ledger

	mu   sync.Mutex
	runs []store.Run // in the order of their begin
}

var _ journal.Book = (*book)(nil)

// openBook reads what the ledger says, by its holder or not.
func openBook(ctx context.Context, l *aws.Ledger) (*book, error) {
	raw, err := l.Get(ctx)
	if err != nil {
		return nil, err
	}
	b := &book{ledger: l}
	if len(raw) == 0 {
		return b, nil
	}
	if err := json.Unmarshal(raw, &b.runs); err != nil {
		return nil, fmt.Errorf("the journal of rollouts cannot be read: %w; it is none of this godwit's", err)
	}
	return b, nil
}

// AddRun implements journal.Book.
func (b *book) AddRun(ctx context.Context, r store.Run) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.index(r.ID) >= 0 {
		return fmt.Errorf("run %q: %w", r.ID, store.ErrExists)
	}
	return b.write(ctx, trimmed(append(slices.Clone(b.runs), r)))
}

// SaveRun implements journal.Book.
func (b *book) SaveRun(ctx context.Context, r store.Run, _ ...int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(r.ID)
	if i < 0 {
		return fmt.Errorf("run %q: %w", r.ID, store.ErrNotFound)
	}
	next := slices.Clone(b.runs)
	next[i] = r
	return b.write(ctx, next)
}

// Run implements journal.Book.
func (b *book) Run(_ context.Context, id string) (store.Run, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(id)
	if i < 0 {
		return store.Run{}, fmt.Errorf("run %q: %w", id, store.ErrNotFound)
	}
	return b.runs[i], nil
}

// Runs implements journal.Book.
func (b *book) Runs(_ context.Context, statuses ...string) ([]store.Run, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []store.Run
	for _, r := range b.runs {
		if len(statuses) == 0 || slices.Contains(statuses, r.Status) {
			all = append(all, r)
		}
	}
	return all, nil
}

func (b *book) index(id string) int {
	return slices.IndexFunc(b.runs, func(r store.Run) bool { return r.ID == id })
}

// write keeps a copy of the steps: the journal goes on changing its own.
func (b *book) write(ctx context.Context, runs []store.Run) error {
	raw, err := json.Marshal(runs)
	if err != nil {
		return err
	}
	if err := b.ledger.Put(ctx, raw); err != nil {
		return taken(err)
	}
	var kept []store.Run
	if err := json.Unmarshal(raw, &kept); err != nil {
		return err
	}
	b.runs = kept
	return nil
}

// taken tells the journal that another has the lease: it must not even take back.
func taken(err error) error {
	if errors.Is(err, aws.ErrLost) {
		return fmt.Errorf("%w: %w", journal.ErrTaken, err)
	}
	return err
}

// trimmed forgets the oldest that have ended.
func trimmed(runs []store.Run) []store.Run {
	for i := 0; len(runs) > keptRuns && i < len(runs); {
		if runs[i].Ended.IsZero() {
			i++
			continue
		}
		runs = slices.Delete(runs, i, i+1)
	}
	return runs
}
