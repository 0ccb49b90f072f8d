package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/journal"
	"godwit/internal/rollout"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/store"
)

// life is a process's. It ends at its n-th hook: before or after a call of AWS,
// or a write of the journal; from then on none of its goroutines does anything.
type life struct {
	mu    sync.Mutex
	at    int
	hooks int
	dead  bool
	trace []string // what each hook was at
}

func (l *life) hook(what string) {
	l.mu.Lock()
	l.hooks++
	l.trace = append(l.trace, what)
	l.dead = l.dead || l.hooks == l.at
	dead := l.dead
	l.mu.Unlock()
	if dead {
		runtime.Goexit()
	}
}

func (l *life) before(c awsfake.Call) error { l.hook("before " + c.Operation); return nil }
func (l *life) after(c awsfake.Call) error  { l.hook("after " + c.Operation); return nil }

// mortalBook is a journal's book in a process that ends.
type mortalBook struct {
	*store.Store
	*life
}

func (b mortalBook) AddRun(ctx context.Context, r store.Run) error {
	b.hook("before AddRun")
	err := b.Store.AddRun(ctx, r)
	b.hook("after AddRun")
	return err
}

func (b mortalBook) SaveRun(ctx context.Context, r store.Run, steps ...int) error {
	b.hook("before SaveRun")
	err := b.Store.SaveRun(ctx, r, steps...)
	b.hook("after SaveRun")
	return err
}

// live is one process: fresh clients, no memory but the journal.
func (st *stage) live(p rollout.Plan, at int) (out journal.Outcome, l *life, err error) {
	l = &life{at: at}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		site, j := st.newSite(), openJournal(mortalBook{st.book, l})
		st.cloud.SetFaults(awsfake.Faults{Before: l.before, After: l.after})
		payload, _ := json.Marshal(p)
		run := journal.Run{ID: st.id, Kind: rollout.Kind, Subject: "test/till", Payload: payload}
		if _, known := st.book.Run(context.Background(), st.id); errors.Is(known, store.ErrNotFound) {
			out, err = j.Run(context.Background(), run, rollout.Steps(site, p), nil)
		} else {
			out, err = j.Resume(context.Background(), run, rollout.Steps(site, p), nil)
		}
	}()
	<-ended
	st.cloud.SetFaults(awsfake.Faults{})
	return out, l, err
}

func hasty(digest string) rollout.Plan {
	p := plan(digest)
	p.Options.Watch, p.Options.Poll = time.Minute, 30*time.Second
	return p
}

// moments are the hooks at which ending matters most: around every call that
// changes something and every write, and some of the others.
func moments(trace []string, stride int) []int {
	var at []int
	for i, what := range trace {
		if !strings.Contains(what, " Describe") && !strings.Contains(what, " Get") || i%stride == 0 {
			at = append(at, i+1)
		}
	}
	return at
}

// TestProcessDiesAnywhere: at any call of AWS the process is gone; another one
// finishes or takes back, and clients see nothing of either.
func TestProcessDiesAnywhere(t *testing.T) {
	t.Parallel()
	book, stride := openBook(t), 4
	if testing.Short() {
		stride = 50
	}
	for name, digest := range map[string]string{"good": next, "never ready": bad} {
		var whole *life
		synctest.Test(t, func(t *testing.T) {
			_, whole, _ = newStage(t, book, awsfake.Options{}).live(hasty(digest), 0)
		})
		points := moments(whole.trace, stride)
		t.Logf("%s: %d hooks, %d of them are tried", name, len(whole.trace), len(points))
		if len(points) < 20 {
			t.Errorf("%s: only %d moments", name, len(points))
		}
		for i, first := range points {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t, book, awsfake.Options{})
				stop := st.load()
				_, l, _ := st.live(hasty(digest), first)
				// Every fourth time the second process dies too, a little later each time.
				if i%4 == 0 {
					_, _, _ = st.live(hasty(digest), 1+3*i)
				}
				out, _, err := st.live(hasty(digest), 0)
				served, failed := stop()
				when := fmt.Sprintf("%s: died at %d, %s", name, first, l.trace[len(l.trace)-1])
				if len(failed) > 0 {
					t.Errorf("%s: %d served, failed: %v", when, served, failed)
				}
				st.settled(out, err, digest, when)
			})
		}
	}
}

// settled: whatever happened, it is entirely old or entirely new.
func (st *stage) settled(out journal.Outcome, err error, digest, when string) {
	st.t.Helper()
	switch out.Status {
	case journal.Done:
		st.whole(2, digest, when)
	case journal.Undone:
		st.whole(1, good, when)
	default:
		st.t.Errorf("%s: %+v, %v", when, out, err)
	}
}

// TestThrottled: AWS refuses half of all calls for a while, in the middle.
func TestThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, openBook(t), awsfake.Options{})
		var mu sync.Mutex
		calls := 0
		st.cloud.SetFaults(awsfake.Faults{Before: func(c awsfake.Call) error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls > 40 && calls < 200 && calls%3 != 0 {
				return awsfake.Throttled(c)
			}
			return nil
		}})
		stop := st.load()
		out, err := st.run(plan(next))
		_, failed := stop()
		if len(failed) > 0 {
			t.Errorf("failed: %v", failed)
		}
		st.settled(out, err, next, "throttled")
		if calls < 200 {
			t.Errorf("only %d calls", calls)
		}
	})
}

// TestExpired: the credentials end at some call. That is said as what it is, and
// a process with new ones brings the rollout to its end.
func TestExpired(t *testing.T) {
	t.Parallel()
	for _, from := range []int{1, 30, 60, 100, 200} {
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, openBook(t), awsfake.Options{})
			var mu sync.Mutex
			calls := 0
			st.cloud.SetFaults(awsfake.Faults{Before: func(c awsfake.Call) error {
				mu.Lock()
				defer mu.Unlock()
				if calls++; calls >= from {
					return awsfake.Expired(c)
				}
				return nil
			}})
			stop := st.load()
			out, err := st.run(hasty(next))
			var said *aws.Error
			if !errors.As(err, &said) || said.Kind != aws.KindExpired || !strings.Contains(said.Mend, "aws sso login") {
				t.Errorf("from call %d: %+v, %v", from, out, err)
			}
			st.cloud.SetFaults(awsfake.Faults{})
			if out.Status == journal.Stuck {
				out, _, err = st.live(hasty(next), 0)
			}
			if _, failed := stop(); len(failed) > 0 {
				t.Errorf("from call %d failed: %v", from, failed)
			}
			st.settled(out, err, next, fmt.Sprintf("expired from call %d", from))
		})
	}
}

// TestLag: every Describe tells the state before the last change, once.
func TestLag(t *testing.T) {
	t.Parallel()
	for _, digest := range []string{next, bad} {
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, openBook(t), awsfake.Options{})
			st.cloud.SetLag(3 * time.Second)
			stop := st.load()
			out, err := st.run(plan(digest))
			if _, failed := stop(); len(failed) > 0 {
				t.Errorf("failed: %v", failed)
			}
			st.settled(out, err, digest, "consistent in the end only")
		})
	}
}
