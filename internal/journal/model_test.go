package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"godwit/internal/store"
)

const always = 1 << 30

// script is what will happen to a step.
type script struct {
	doFails, undoFails int // so many times
	panics             bool
}

// world is the model: which steps are in effect, and what must never happen.
type world struct {
	scripts    []script
	noReturn   int // position, or len(scripts) for none
	applied    []bool
	committed  bool
	calls      int // of Do and Undo
	crashAt    int // the call in whose middle the engine dies
	cancelAt   int // the call in which the caller gives up
	cancel     context.CancelFunc
	writes     int // since the last Do or Undo
	failWrites func(n int) bool
	written    int
	wrong      []string
}

func (w *world) complain(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// event is in the middle of a Do or an Undo.
func (w *world) event() {
	w.calls++
	if w.calls == w.cancelAt {
		w.cancel()
	}
	if w.calls == w.crashAt {
		runtime.Goexit() // as if killed: nothing of the run comes after it
	}
}

func (w *world) do(i int) error {
	if w.writes > 1 {
		w.complain("%d writes before Do %d", w.writes, i)
	}
	w.writes = 0
	for j := range i {
		if !w.applied[j] {
			w.complain("Do %d while %d is not in effect", i, j)
		}
	}
	w.committed = w.committed || i == w.noReturn
	w.event()
	w.applied[i] = true
	if s := &w.scripts[i]; s.doFails > 0 {
		s.doFails--
		if s.panics {
			panic("scripted")
		}
		return errBroken
	}
	return nil
}

func (w *world) undo(i int) error {
	w.writes = 0
	if w.committed {
		w.complain("Undo %d after the point of no return", i)
	}
	for j := i + 1; j < len(w.applied); j++ {
		if w.applied[j] {
			w.complain("Undo %d while %d is in effect", i, j)
		}
	}
	w.event()
	if w.scripts[i].undoFails > 0 {
		w.scripts[i].undoFails--
		return errBroken
	}
	w.applied[i] = false
	return nil
}

func (w *world) steps() []Step {
	var steps []Step
	for i := range w.scripts {
		steps = append(steps, Step{Name: fmt.Sprint(i), PointOfNoReturn: i == w.noReturn,
			Do:   func(context.Context, *Notes) error { return w.do(i) },
			Undo: func(context.Context, *Notes) error { return w.undo(i) }})
	}
	return steps
}

// worldBook counts writes, and fails those it is told to.
type worldBook struct {
	Book
	w *world
}

var errDisk = errors.New("disk full")

func (b worldBook) SaveRun(ctx context.Context, r store.Run, steps ...int) error {
	b.w.writes++
	b.w.written++
	if b.w.failWrites(b.w.written) {
		return errDisk
	}
	return b.Book.SaveRun(ctx, r, steps...)
}

// live runs or resumes in a goroutine that may be killed by Goexit.
func (w *world) live(book Book, id string, resume bool) (out Outcome, err error, died bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.cancel, w.writes, died = cancel, 0, true
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		j := Open(worldBook{book, w})
		if resume {
			out, err = j.Resume(ctx, Run{ID: id}, w.steps(), nil)
		} else {
			out, err = j.Run(ctx, Run{ID: id}, w.steps(), nil)
		}
		died = false
	}()
	<-ended
	return out, err, died
}

func (w *world) whole(value bool) bool {
	for _, a := range w.applied {
		if a != value {
			return false
		}
	}
	return true
}

// judge compares an outcome with the world.
func (w *world) judge(out Outcome, err error) {
	switch {
	case (err == nil) != (out.Status == Done):
		w.complain("status %q with error %v", out.Status, err)
	case out.Status == Done && !w.whole(true), out.Status == Undone && !w.whole(false):
		w.complain("%s, with in effect: %v", out.Status, w.applied)
	case out.Status == Done && !w.committed && w.noReturn < len(w.scripts):
		w.complain("done without its point of no return")
	case out.Status != Done && out.Status != Undone && out.Status != Stuck:
		w.complain("status %q", out.Status)
	}
}

// predict is how an undisturbed run must end.
func (w *world) predict() Status {
	for i, s := range w.scripts {
		if i >= w.noReturn {
			if s.doFails >= always {
				return Stuck
			}
			continue
		}
		if s.doFails == 0 {
			continue
		}
		for j := i; j >= 0; j-- {
			if w.scripts[j].undoFails >= always {
				return Stuck
			}
		}
		return Undone
	}
	return Done
}

func drawWorld(t *rapid.T) *world {
	often := rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, always})
	scripts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) script {
		return script{doFails: often.Draw(t, "do fails"), undoFails: often.Draw(t, "undo fails"), panics: rapid.Bool().Draw(t, "panics")}
	}), 1, 6).Draw(t, "scripts")
	return &world{scripts: scripts, applied: make([]bool, len(scripts)), failWrites: func(int) bool { return false },
		noReturn: rapid.IntRange(0, len(scripts)).Draw(t, "point of no return")}
}

func (w *world) report(t *rapid.T) {
	for _, wrong := range w.wrong {
		t.Error(wrong)
	}
}

func TestUndisturbedRunsEndAsPredicted(t *testing.T) {
	t.Parallel()
	book, n := openBook(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		want := w.predict()
		n++
		synctest.Test(t, func(*testing.T) {
			out, err, _ := w.live(book, fmt.Sprint(n), false)
			w.judge(out, err)
			if out.Status != want {
				w.complain("ended as %s, predicted %s", out.Status, want)
			}
		})
		w.report(rt)
	})
}

// TestDisturbedRunsEndWhole crashes the engine again and again, lets callers
// give up and writes fail, then mends everything: the end is all or nothing.
func TestDisturbedRunsEndWhole(t *testing.T) {
	t.Parallel()
	book, n := openBook(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		crashes := rapid.SliceOfN(rapid.IntRange(1, 8), 0, 4).Draw(rt, "crash after calls")
		w.cancelAt = rapid.IntRange(0, 12).Draw(rt, "caller gives up at call")
		bad := rapid.SliceOfNDistinct(rapid.IntRange(1, 15), 0, 6, rapid.ID[int]).Draw(rt, "failing writes")
		w.failWrites = func(n int) bool {
			for _, b := range bad {
				if n == b {
					return true
				}
			}
			return false
		}
		n++
		synctest.Test(t, func(*testing.T) { w.disturb(book, fmt.Sprint(n), crashes) })
		w.report(rt)
	})
}

func (w *world) disturb(book Book, id string, crashes []int) {
	resume := false
	for _, after := range crashes {
		w.crashAt = w.calls + after
		out, err, died := w.live(book, id, resume)
		if !died {
			w.judge(out, err)
		}
		resume = true
	}
	w.crashAt = 0
	for i := range w.scripts {
		w.scripts[i] = script{}
	}
	w.failWrites = func(int) bool { return false }
	out, err, _ := w.live(book, id, resume)
	w.judge(out, err)
	if out.Status == Stuck {
		w.complain("stuck, although nothing is in the way any more: %v", err)
	}
}
