package journal

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/store"
)

var errBroken = errors.New("broken")

// trace makes steps that write down what is called.
type trace struct{ calls []string }

func (tr *trace) step(name string, do func(ctx context.Context, notes *Notes) error) Step {
	return Step{
		Name: name,
		Do: func(ctx context.Context, notes *Notes) error {
			tr.calls = append(tr.calls, "do "+name)
			if do == nil {
				return nil
			}
			return do(ctx, notes)
		},
		Undo: func(context.Context, *Notes) error {
			tr.calls = append(tr.calls, "undo "+name)
			return nil
		},
	}
}

func (tr *trace) want(t *testing.T, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(tr.calls, want) {
		t.Errorf("calls %q, want %q", tr.calls, want)
	}
}

func fails(context.Context, *Notes) error { return errBroken }

func noReturn(s Step) Step {
	s.PointOfNoReturn = true
	return s
}

func TestAllDone(t *testing.T) {
	t.Parallel()
	var tr trace
	var events []string
	j := Open(openBook(t))
	steps := []Step{
		tr.step("a", func(_ context.Context, n *Notes) error { n.Set("lsn", "0/16"); return nil }),
		noReturn(tr.step("b", func(_ context.Context, n *Notes) error { n.Set("seen", n.Get("lsn")); return nil })),
	}
	out, err := j.Run(t.Context(), Run{ID: "1", Kind: "k", Subject: "s", Payload: []byte(`{}`)}, steps, func(e Event) {
		events = append(events, fmt.Sprintf("%s %s %d/%d", e.Moment, e.Step, e.Position, e.Steps))
	})
	if err != nil || out.Status != Done || out.Failed != "" || out.Cause != nil || len(out.Steps) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	tr.want(t, "do a", "do b")
	if want := []string{"begun a 0/2", "done a 0/2", "begun b 1/2", "done b 1/2"}; !reflect.DeepEqual(events, want) {
		t.Errorf("events %q", events)
	}
	record, err := j.Record(t.Context(), "1")
	if err != nil || record.Notes["seen"] != "0/16" || record.Outcome.Status != Done || record.Ended.IsZero() ||
		record.Run.Subject != "s" || string(record.Run.Payload) != "{}" {
		t.Errorf("%+v, %v", record, err)
	}
	if runs, err := j.Unfinished(t.Context()); err != nil || len(runs) != 0 {
		t.Errorf("unfinished %v, %v", runs, err)
	}
	again, err := j.Resume(t.Context(), Run{ID: "1"}, steps, nil)
	if err != nil || again.Status != Done {
		t.Errorf("resumed after its end: %+v, %v", again, err)
	}
	tr.want(t, "do a", "do b")
}

func TestFailureUndoesInReverse(t *testing.T) {
	t.Parallel()
	var tr trace
	j := Open(openBook(t))
	bare := tr.step("bare", nil)
	bare.Undo = nil
	steps := []Step{tr.step("a", nil), bare, tr.step("b", fails), noReturn(tr.step("c", nil))}
	out, err := j.Run(t.Context(), Run{ID: "1", Kind: "cutover", Subject: "x"}, steps, nil)
	tr.want(t, "do a", "do bare", "do b", "undo b", "undo a")
	var failure *Failure
	if !errors.Is(err, errBroken) || !errors.As(err, &failure) || failure.Step != "b" || failure.Status != Undone {
		t.Fatalf("%v", err)
	}
	for _, word := range []string{`step "b"`, "broken", "cutover of x", "taken back"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q lacks %q", err, word)
		}
	}
	if out.Status != Undone || out.Failed != "b" || out.Cause != errBroken || len(out.Steps) != 3 ||
		!out.Steps[0].Undone || out.Steps[2].Error != "broken" {
		t.Errorf("%+v", out)
	}
	again, err := j.Resume(t.Context(), Run{ID: "1"}, steps, nil)
	if again.Status != Undone || !errors.As(err, &failure) || failure.Step != "b" || failure.Cause.Error() != "broken" {
		t.Errorf("resumed after its end: %+v, %v", again, err)
	}
}

func TestPanicIsAFailure(t *testing.T) {
	t.Parallel()
	var tr trace
	_, err := Open(openBook(t)).Run(t.Context(), Run{ID: "1"}, []Step{
		tr.step("a", func(context.Context, *Notes) error { panic("oh") })}, nil)
	if err == nil || !strings.Contains(err.Error(), "panic: oh") || !strings.Contains(err.Error(), "run_test.go") {
		t.Errorf("%v", err)
	}
	tr.want(t, "do a", "undo a")
}

func TestBudget(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	for name, do := range map[string]func(context.Context) error{
		"heeds its context":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"succeeds too late":  func(ctx context.Context) error { <-ctx.Done(); return nil },
		"hides its deadline": func(ctx context.Context) error { <-ctx.Done(); return errBroken },
	} {
		synctest.Test(t, func(t *testing.T) {
			var tr trace
			slow := tr.step("slow", func(ctx context.Context, _ *Notes) error { return do(ctx) })
			slow.Budget = time.Minute
			out, err := Open(book).Run(t.Context(), Run{ID: name}, []Step{slow, tr.step("b", nil)}, nil)
			if !errors.Is(err, ErrOverBudget) || out.Status != Undone || !strings.Contains(err.Error(), "over budget of 1m0s") {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			if out.Steps[0].Elapsed != time.Minute {
				t.Errorf("%s: elapsed %v", name, out.Steps[0].Elapsed)
			}
			tr.want(t, "do slow", "undo slow")
		})
	}
}

func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	var tr trace
	a := tr.step("a", func(context.Context, *Notes) error { cancel(errBroken); return nil })
	undo := a.Undo
	a.Undo = func(ctx context.Context, n *Notes) error {
		if ctx.Err() != nil {
			t.Error("undone under a context that has ended")
		}
		return undo(ctx, n)
	}
	out, err := Open(openBook(t)).Run(ctx, Run{ID: "1"}, []Step{a, noReturn(tr.step("b", nil))}, nil)
	if !errors.Is(err, errBroken) || out.Status != Undone || out.Failed != "b" {
		t.Errorf("%+v, %v", out, err)
	}
	tr.want(t, "do a", "undo a")
}

func TestCallerGivesUpTooLate(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var tr trace
	out, err := Open(openBook(t)).Run(ctx, Run{ID: "1"}, []Step{
		noReturn(tr.step("a", func(ctx context.Context, _ *Notes) error { cancel(); return ctx.Err() })),
		tr.step("b", func(ctx context.Context, _ *Notes) error { return ctx.Err() }),
	}, nil)
	if err != nil || out.Status != Done {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestGraceEnds(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var tr trace
		j := Open(book)
		started := time.Now()
		out, err := j.Run(ctx, Run{ID: "1"}, []Step{
			noReturn(tr.step("a", func(ctx context.Context, _ *Notes) error { cancel(); <-ctx.Done(); return ctx.Err() }))}, nil)
		if took := time.Since(started); took != j.Limits.Grace {
			t.Errorf("took %v", took)
		}
		if !errors.Is(err, context.Canceled) || out.Status != Stuck {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestAfterThePointOfNoReturnItIsTriedAgain(t *testing.T) {
	t.Parallel()
	var tr trace
	left := 3
	flaky := func(context.Context, *Notes) error {
		if left--; left >= 0 {
			return errBroken
		}
		return nil
	}
	retries := 0
	out, err := Open(openBook(t)).Run(t.Context(), Run{ID: "1"}, []Step{tr.step("a", nil), noReturn(tr.step("b", flaky))},
		func(e Event) {
			if e.Moment == StepFailed {
				retries++
			}
		})
	if err != nil || out.Status != Done || retries != 3 || out.Steps[1].Error != "" {
		t.Errorf("%+v, %v, %d retries", out, err, retries)
	}
	tr.want(t, "do a", "do b", "do b", "do b", "do b")
}

func TestStuckForwardAndResumed(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		var tr trace
		broken := true
		steps := []Step{tr.step("a", nil), noReturn(tr.step("b", nil)), tr.step("c", func(context.Context, *Notes) error {
			if broken {
				return errBroken
			}
			return nil
		})}
		j := Open(book)
		out, err := j.Run(t.Context(), Run{ID: "1", Kind: "k"}, steps, nil)
		if !errors.Is(err, errBroken) || out.Status != Stuck || out.Failed != "c" || !strings.Contains(err.Error(), "resumed") {
			t.Fatalf("%+v, %v", out, err)
		}
		if runs, err := j.Unfinished(t.Context()); err != nil || len(runs) != 1 || runs[0].ID != "1" || runs[0].Kind != "k" {
			t.Errorf("unfinished %v, %v", runs, err)
		}
		tr.calls, broken = nil, false
		out, err = Open(book).Resume(t.Context(), Run{ID: "1"}, steps, nil)
		if err != nil || out.Status != Done || len(out.Steps) != 3 || out.Failed != "" {
			t.Errorf("%+v, %v", out, err)
		}
		tr.want(t, "do c")
	})
}

func TestStuckBackwardAndResumed(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		var tr trace
		errJammed := errors.New("jammed")
		jammed := true
		b := tr.step("b", nil)
		undo := b.Undo
		b.Undo = func(ctx context.Context, n *Notes) error {
			if jammed {
				return errJammed
			}
			return undo(ctx, n)
		}
		steps := []Step{tr.step("a", nil), b, tr.step("c", fails)}
		out, err := Open(book).Run(t.Context(), Run{ID: "1"}, steps, nil)
		if !errors.Is(err, errBroken) || !errors.Is(err, errJammed) || out.Status != Stuck || out.Failed != "c" {
			t.Fatalf("%+v, %v", out, err)
		}
		tr.want(t, "do a", "do b", "do c", "undo c")
		tr.calls, jammed = nil, false
		out, err = Open(book).Resume(t.Context(), Run{ID: "1"}, steps, nil)
		if err == nil || out.Status != Undone || out.Failed != "c" || out.Cause.Error() != "broken" {
			t.Errorf("%+v, %v", out, err)
		}
		tr.want(t, "undo b", "undo a")
	})
}

func TestPermanentFailureIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	var tr trace
	out, err := Open(openBook(t)).Run(t.Context(), Run{ID: "1"}, []Step{
		noReturn(tr.step("a", func(context.Context, *Notes) error { return backoff.Permanent(errBroken) }))}, nil)
	if !errors.Is(err, errBroken) || out.Status != Stuck {
		t.Errorf("%+v, %v", out, err)
	}
	tr.want(t, "do a")
}

func TestResumeRefusesOtherSteps(t *testing.T) {
	t.Parallel()
	var tr trace
	j := Open(openBook(t))
	steps := []Step{tr.step("a", nil), noReturn(tr.step("b", nil))}
	if _, err := j.Run(t.Context(), Run{ID: "1"}, steps, nil); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string][]Step{
		"fewer":   {tr.step("a", nil)},
		"renamed": {tr.step("a", nil), noReturn(tr.step("c", nil))},
		"moved":   {noReturn(tr.step("a", nil)), tr.step("b", nil)},
	} {
		if _, err := j.Resume(t.Context(), Run{ID: "1"}, other, nil); !errors.Is(err, ErrDifferent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := j.Resume(t.Context(), Run{ID: "2"}, steps, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown run: %v", err)
	}
	if _, err := j.Run(t.Context(), Run{ID: "1"}, steps, nil); !errors.Is(err, store.ErrExists) {
		t.Errorf("the same id again: %v", err)
	}
}

func TestInvalidLists(t *testing.T) {
	t.Parallel()
	var tr trace
	j := Open(openBook(t))
	for name, c := range map[string]struct {
		id    string
		steps []Step
	}{
		"no id":    {"", []Step{tr.step("a", nil)}},
		"no steps": {"1", nil},
		"no name":  {"1", []Step{tr.step("", nil)}},
		"doubled":  {"1", []Step{tr.step("a", nil), tr.step("a", nil)}},
		"no do":    {"1", []Step{{Name: "a"}}},
	} {
		if _, err := j.Run(t.Context(), Run{ID: c.id}, c.steps, nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tr.want(t)
}

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	j := Open(openBook(t))
	var steps []Step
	steps = []Step{{Name: "a", Do: func(ctx context.Context, _ *Notes) error {
		_, err := j.Resume(ctx, Run{ID: "1"}, steps, nil)
		return err
	}}}
	if _, err := j.Run(t.Context(), Run{ID: "1"}, steps, nil); !errors.Is(err, ErrActive) {
		t.Errorf("%v", err)
	}
}
