package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	chunkRows = 10_000           // rows compared at a time
	verifyLag = 10 * time.Second // what a row may need to the other side meanwhile
	namedRows = 500              // differing rows of a chunk that are looked at one by one
	looks     = 5                // how often rows that do not stand still are looked at before their table is locked
)

// Verification is what comparing the two sides found.
type Verification struct {
	Database  string   `json:"database"`
	Tables    int      `json:"tables"`
	Rows      int64    `json:"rows"`
	Chunks    int      `json:"chunks"`
	Retried   int      `json:"retried"` // chunks that differed at first: rows under way
	Differing []Differ `json:"differing"`
	Sequences int      `json:"sequences"` // of the truth; behind ones are in Behind
	Behind    []string `json:"behind"`
}

// Differ is a chunk that is not the same on both sides.
type Differ struct {
	Table string   `json:"table"`
	From  string   `json:"from"` // keys of the chunk: above From, up to To; "" is the end
	To    string   `json:"to"`
	Rows  []string `json:"rows,omitempty"` // keys of rows that differ, at most namedRows
}

// Verify compares every row of every table, in chunks, while both sides run:
// a chunk that differs is compared again when the rows under way have arrived,
// then row by row; rows that never stand still are looked at while nobody may
// write to their table. Sequences of the other side are compared only between
// switches, when the truth is ahead: they are carried in the switch.
func (b *Writer) Verify(ctx context.Context, progress func(Verification)) (v Verification, err error) {
	v.Database = b.Database
	truth, err := b.truth(ctx)
	if err != nil {
		return v, err
	}
	if truth == "" {
		return v, fmt.Errorf("database %q: %w: a switch is under way", b.Database, ErrState)
	}
	tables, err := b.tables(ctx, truth)
	if err != nil {
		return v, err
	}
	there, err := b.tables(ctx, other(truth))
	if err != nil {
		return v, err
	}
	for i, t := range tables { // an order of keys holds for both sides or for none
		tables[i].sorts = t.sorts || slices.ContainsFunc(there, func(o table) bool { return o.name == t.name && o.sorts })
	}
	c, err := b.compareRows(ctx, truth, &v)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, c.end(context.WithoutCancel(ctx))) }()
	for _, t := range tables {
		if err := c.table(ctx, t); err != nil {
			return v, fmt.Errorf("comparing table %s: %w", t.name, err)
		}
		v.Tables++
		if progress != nil {
			progress(v)
		}
	}
	return v, b.verifySequences(ctx, truth, &v)
}

// verifySequences finds sequences of truth that would give out a value again:
// ones that stand below what the other side, which had the truth before, has
// already given out.
func (b *Writer) verifySequences(ctx context.Context, truth string, v *Verification) error {
	ahead, err := b.Sequences(ctx, truth)
	if err != nil {
		return err
	}
	behind, err := b.Sequences(ctx, other(truth))
	if err != nil {
		return err
	}
	was := map[string]Sequence{}
	for _, s := range behind {
		was[s.Name] = s
	}
	v.Sequences = len(ahead)
	for _, s := range ahead {
		old := was[s.Name]
		if s.Falls {
			s.Last, old.Last = -s.Last, -old.Last
		}
		// One that gave out nothing there, or begins again at its end, stands where it likes.
		if old.Called && !s.Cycles && (s.Last < old.Last || s.Last == old.Last && !s.Called) {
			v.Behind = append(v.Behind, s.Name)
		}
	}
	return nil
}
