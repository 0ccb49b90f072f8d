package rollout

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/memory"
	"godwit/internal/store"
)

// life is an engine's: it ends at its n-th hook, so that nothing of the run
// comes after it, as if killed. The journal's own tests kill real processes.
type life struct{ hooks, at int }

func (l *life) hook() {
	if l.hooks++; l.hooks == l.at {
		runtime.Goexit()
	}
}

// mortalSite may end the engine before and after every call.
type mortalSite struct {
	site.Site
	*life
}

func (m mortalSite) around(call func() error) error {
	m.hook()
	err := call()
	m.hook()
	return err
}

func (m mortalSite) Apply(ctx context.Context, l *landscape.Landscape, environment string) error {
	return m.around(func() error { return m.Site.Apply(ctx, l, environment) })
}

func (m mortalSite) Launch(ctx context.Context, r fleet.Release) error {
	return m.around(func() error { return m.Site.Launch(ctx, r) })
}

func (m mortalSite) Shift(ctx context.Context, environment, service string, w fleet.Weights) error {
	return m.around(func() error { return m.Site.Shift(ctx, environment, service, w) })
}

func (m mortalSite) Drain(ctx context.Context, environment, service string, release int) error {
	return m.around(func() error { return m.Site.Drain(ctx, environment, service, release) })
}

func (m mortalSite) Retire(ctx context.Context, environment, service string, release int) error {
	return m.around(func() error { return m.Site.Retire(ctx, environment, service, release) })
}

// mortalBook may end the engine before and after every write.
type mortalBook struct {
	*store.Store
	*life
}

func (b mortalBook) AddRun(ctx context.Context, r store.Run) error {
	b.hook()
	err := b.Store.AddRun(ctx, r)
	b.hook()
	return err
}

func (b mortalBook) SaveRun(ctx context.Context, r store.Run, steps ...int) error {
	b.hook()
	err := b.Store.SaveRun(ctx, r, steps...)
	b.hook()
	return err
}

// live runs the plan, or resumes it when the journal knows it, until it ends or
// the engine does.
func (st *stage) live(p Plan, at int) (out journal.Outcome, err error, died bool) {
	died = true
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l := &life{at: at}
		j, steps := journal.Open(mortalBook{st.book, l}), Steps(mortalSite{st.site, l}, p)
		run := journal.Run{ID: st.id, Kind: Kind, Subject: "test/till"}
		if _, known := st.book.Run(context.Background(), st.id); errors.Is(known, store.ErrNotFound) {
			out, err = j.Run(context.Background(), run, steps, nil)
		} else {
			out, err = j.Resume(context.Background(), run, steps, nil)
		}
		died = false
	}()
	<-ended
	return out, err, died
}

// settled: whatever happened, it is entirely old or entirely new.
func (st *stage) settled(out journal.Outcome, err error, when string) {
	st.t.Helper()
	switch out.Status {
	case journal.Done:
		st.whole(2, when)
	case journal.Undone:
		st.whole(1, when)
	default:
		st.t.Errorf("%s: %+v, %v", when, out, err)
	}
}

func TestEngineDiesAnywhere(t *testing.T) {
	t.Parallel()
	book, stride := openBook(t), 1
	if testing.Short() {
		stride = 5
	}
	for name, c := range map[string]struct {
		image string
		dead  bool
	}{
		"good":                  {image: "sha256:2"},
		"never ready":           {image: "sha256:bad"},
		"good after a dead one": {image: "sha256:2", dead: true},
		"neither is ever ready": {image: "sha256:bad", dead: true},
	} {
		p := plan()
		p.To.Image, p.Dead = c.image, c.dead
		first := 1
		for alive := false; !alive; first++ {
			for second, over := 1, false; !over; second += stride {
				synctest.Test(t, func(t *testing.T) {
					st := newStage(t, book)
					st.site.SetUnready("sha256:bad")
					if c.dead {
						st.kill()
					}
					_, _, died := st.live(p, first)
					alive = !died
					_, _, again := st.live(p, second)
					out, err, _ := st.live(p, 0)
					st.settled(out, err, fmt.Sprintf("%s, died at %d, then at %d", name, first, second))
					over = !died || !again
				})
			}
		}
		if first < 12 {
			t.Errorf("%s: only %d hooks", name, first)
		}
	}
}

// TestSiteFailsAnywhere lets calls fail from the n-th on, once, for a while, or
// until the engine gives up; a later one finds the site mended.
func TestSiteFailsAnywhere(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	for _, failures := range []int{1, 3, 1 << 30} {
		first := 1
		for reached := true; reached; first++ {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t, book)
				f := &failing{first: first, failures: failures}
				st.site.SetFail(f.fail)
				out, err, _ := st.live(plan(), 0)
				when := fmt.Sprintf("call %d fails, and %d in all", first, failures)
				if reached = f.calls >= first; !reached && out.Status != journal.Done {
					t.Errorf("%s: nothing failed, and yet %+v, %v", when, out, err)
				}
				st.site.SetFail(nil)
				if out.Status == journal.Stuck {
					out, err, _ = st.live(plan(), 0)
				}
				st.settled(out, err, when)
			})
		}
		if first < 8 {
			t.Errorf("only %d calls", first)
		}
	}
}

// failing counts the calls of the site, and fails some.
type failing struct{ calls, first, failures int }

func (f *failing) fail(memory.Call) error {
	f.calls++
	if f.calls >= f.first && f.calls < f.first+f.failures {
		return errBroken
	}
	return nil
}
