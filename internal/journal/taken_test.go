package journal

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/store"
)

// takenBook is written by another from some write on.
type takenBook struct {
	Book
	writes int // that are still its own
}

func (b *takenBook) SaveRun(ctx context.Context, r store.Run, steps ...int) error {
	if b.writes--; b.writes < 0 {
		return fmt.Errorf("writing: %w", ErrTaken)
	}
	return b.Book.SaveRun(ctx, r, steps...)
}

// TestTakenIsLeftAlone: whoever finds that another works on its run neither goes
// on nor takes anything back, and does not wait for a better answer.
func TestTakenIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		writes int
		last   func(context.Context, *Notes) error // of the second step
		want   []string
	}{
		"before the second step":         {0, nil, []string{"do a"}},
		"before taking back":             {1, fails, []string{"do a", "do b"}},
		"while the first was taken back": {2, fails, []string{"do a", "do b", "undo b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var tr trace
				j := Open(&takenBook{openBook(t), c.writes})
				began := time.Now()
				out, err := j.Run(t.Context(), Run{ID: "1", Kind: "k", Subject: "s"}, []Step{tr.step("a", nil), tr.step("b", c.last)}, nil)
				if !errors.Is(err, ErrTaken) || out.Status != Stuck || c.last != nil && !errors.Is(err, errBroken) {
					t.Errorf("%+v, %v", out, err)
				}
				tr.want(t, c.want...)
				if took := time.Since(began); took > 0 {
					t.Errorf("it took %s to see", took)
				}
			})
		})
	}
}

// TestTakenDuring: the context says it, in a step or while one is taken back.
func TestTakenDuring(t *testing.T) {
	t.Parallel()
	waits := func(ctx context.Context, _ *Notes) error { <-ctx.Done(); return ctx.Err() }
	for name, c := range map[string]struct {
		step Step
		want []string
	}{
		"doing":                 {Step{Name: "b", Do: waits}, []string{"do a"}},
		"past the last way out": {noReturn(Step{Name: "b", Do: waits}), []string{"do a"}},
		"taking back":           {Step{Name: "b", Do: fails, Undo: waits}, []string{"do a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var tr trace
				ctx, take := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { take(fmt.Errorf("lease: %w", ErrTaken)) })
				began := time.Now()
				out, err := Open(openBook(t)).Run(ctx, Run{ID: "1", Kind: "k", Subject: "s"}, []Step{tr.step("a", nil), c.step}, nil)
				if !errors.Is(err, ErrTaken) || out.Status != Stuck {
					t.Errorf("%+v, %v", out, err)
				}
				tr.want(t, c.want...)
				if took := time.Since(began); took != time.Second {
					t.Errorf("it took %s to see", took)
				}
			})
		})
	}
}
