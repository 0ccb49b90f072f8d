package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/memory"
	"godwit/internal/store"
)

var errBroken = errors.New("broken")

var bistro = &landscape.Landscape{Name: "bistro",
	Environments: []landscape.Environment{{Name: "test", Network: netip.MustParsePrefix("10.10.0.0/16")}},
	Services:     []landscape.Service{{Name: "till", Port: 8080}}}

func release(number int) fleet.Release {
	return fleet.Release{Environment: "test", Service: "till", Number: number, Image: fmt.Sprintf("sha256:%d", number), Port: 8080, Count: 2}
}

func plan() Plan {
	return Plan{Environment: "test", Service: "till", From: release(1), To: release(2),
		Options: Options{Watch: time.Second, Poll: 50 * time.Millisecond, Drain: 2 * time.Second}}
}

// stage is a site on which release 1 serves, and a journal.
type stage struct {
	t       *testing.T
	site    *memory.Site
	journal *journal.Journal
	book    *store.Store
	id      string
	dead    bool // release 1 is
	mu      sync.Mutex
	wrong   []string
}

var ids atomic.Int64

func newStage(t *testing.T, book *store.Store) *stage {
	t.Helper()
	st := &stage{t: t, site: memory.New(), journal: journal.Open(book), book: book, id: fmt.Sprint(ids.Add(1))}
	ctx := context.Background()
	for _, err := range []error{
		st.site.Apply(ctx, bistro, "test"), st.site.Launch(ctx, release(1)), st.site.Shift(ctx, "test", "till", fleet.Weights{1: 100}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	st.site.SetWatch(st.watch)
	return st
}

// watch sees every instant: some release with weight must have a ready instance.
func (st *stage) watch(e site.Environment) {
	st.mu.Lock()
	defer st.mu.Unlock()
	f := e.Fleets[0]
	capacity := 0
	for _, i := range f.Instances {
		if i.State == fleet.Ready && f.Weights[i.Release] > 0 {
			capacity++
		}
	}
	if capacity == 0 {
		st.wrong = append(st.wrong, fmt.Sprintf("nobody serves: weights %v, instances %+v", f.Weights, f.Instances))
	}
}

func (st *stage) run(p Plan) (journal.Outcome, error) {
	payload, err := json.Marshal(p)
	if err != nil {
		st.t.Fatal(err)
	}
	return st.journal.Run(st.t.Context(), journal.Run{ID: st.id, Kind: Kind, Subject: "test/till", Payload: payload}, Steps(st.site, p), nil)
}

// whole: entirely that release, nothing of any other, and never without capacity.
func (st *stage) whole(number int, when string) {
	st.t.Helper()
	st.mu.Lock()
	for _, wrong := range st.wrong {
		st.t.Errorf("%s: %s", when, wrong)
	}
	st.mu.Unlock()
	st.site.SetFail(nil)
	e, err := st.site.Observe(context.Background(), "test")
	if err != nil {
		st.t.Fatal(err)
	}
	f := e.Fleets[0]
	maps.DeleteFunc(f.Weights, func(_, w int) bool { return w == 0 })
	if len(f.Weights) != 1 || f.Weights[number] != 100 {
		st.t.Errorf("%s: weights %v, want all for release %d", when, f.Weights, number)
	}
	ready := 0
	for _, i := range f.Instances {
		if i.Release != number || i.State == fleet.Draining {
			st.t.Errorf("%s: left over: %+v", when, i)
		}
		if i.State == fleet.Ready {
			ready++
		}
	}
	want := 2
	if st.dead && number == 1 {
		want = 0
	}
	if ready != want {
		st.t.Errorf("%s: %d ready instances, want %d", when, ready, want)
	}
}

// behaviour of a release under load.
type behaviour func(n int) (failed bool, took time.Duration)

func good(int) (bool, time.Duration) { return false, fast }

// load sends 300 requests a second until the returned function is called; it
// returns how many found nobody to serve them.
func (st *stage) load(releases map[int]behaviour) (stop func() (unserved int)) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int)
	go func() {
		unserved, tick := 0, time.NewTicker(time.Second/300)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				ended <- unserved
				return
			case <-tick.C:
			}
			q, err := st.site.Begin("test", "till")
			if err != nil {
				unserved++
				continue
			}
			q.End(releases[q.Release](n))
		}
	}()
	return func() int { cancel(); return <-ended }
}

func openBook(t *testing.T) *store.Store {
	t.Helper()
	book, err := store.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { book.Close() })
	return book
}

func TestUnderLoad(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	for name, c := range map[string]struct {
		recent behaviour
		want   int
		reason string
	}{
		"good":    {good, 2, "requests failed"},
		"errors":  {func(n int) (bool, time.Duration) { return n%3 == 0, fast }, 1, "requests failed"},
		"latency": {func(int) (bool, time.Duration) { return false, slow }, 1, "p99"},
	} {
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, book)
			stop := st.load(map[int]behaviour{1: good, 2: c.recent})
			out, err := st.run(plan())
			if unserved := stop(); unserved > 0 {
				t.Errorf("%s: %d requests found nobody", name, unserved)
			}
			st.judged(name, c.want, c.reason, out, err)
		})
	}
}

func (st *stage) judged(name string, want int, reason string, out journal.Outcome, err error) {
	st.t.Helper()
	st.whole(want, name)
	record, _ := st.journal.Record(context.Background(), st.id)
	if verdict := record.Notes[NoteVerdict]; !strings.Contains(verdict, reason) {
		st.t.Errorf("%s: verdict %q, want %q in it", name, verdict, reason)
	}
	if want == 2 {
		if err != nil || out.Status != journal.Done {
			st.t.Errorf("%s: %+v, %v", name, out, err)
		}
		return
	}
	var refused *RefusedError
	if !errors.As(err, &refused) || out.Failed != "judge" || out.Status != journal.Undone || !strings.Contains(refused.Reason, reason) {
		st.t.Errorf("%s: %+v, %v", name, out, err)
	}
}

func TestRefusalDoesNotWaitForTheWatch(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, book)
		stop := st.load(map[int]behaviour{1: good, 2: func(int) (bool, time.Duration) { return true, fast }})
		p := plan()
		p.Options.Watch = time.Hour
		started := time.Now()
		_, err := st.run(p)
		stop()
		if took := time.Since(started); err == nil || took > time.Second {
			t.Errorf("refused after %v: %v", took, err)
		}
	})
}

func TestWithoutTraffic(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, book)
		started := time.Now()
		out, err := st.run(plan())
		if took := time.Since(started); took != time.Second {
			t.Errorf("watched for %v", took)
		}
		st.judged("silence", 2, "no request came", out, err)
	})
}

func TestNeverReady(t *testing.T) {
	t.Parallel()
	st := newStage(t, openBook(t))
	st.site.SetUnready(release(2).Image)
	out, err := st.run(plan())
	if !errors.Is(err, site.ErrUnready) || out.Failed != "launch" || out.Status != journal.Undone {
		t.Errorf("%+v, %v", out, err)
	}
	st.whole(1, "never ready")
}

func TestDiesWhileWatched(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, book)
		time.AfterFunc(500*time.Millisecond, func() { st.site.Kill("test", "till", 2, "exit status 7") })
		out, err := st.run(plan())
		st.judged("died", 1, "exit status 7", out, err)
	})
}

// TestOldDiesWhileWatched: there is nothing to shift back to, so it is revived.
func TestOldDiesAndNewIsRefused(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, book)
		time.AfterFunc(300*time.Millisecond, func() { st.site.Kill("test", "till", 1, "out of memory") })
		time.AfterFunc(500*time.Millisecond, func() { st.site.SetWatch(nil); st.site.Kill("test", "till", 2, "exit status 7") })
		out, err := st.run(plan())
		if err == nil || out.Status != journal.Undone {
			t.Errorf("%+v, %v", out, err)
		}
		e, err := st.site.Observe(t.Context(), "test")
		if err != nil || e.Fleets[0].Weights[1] != 100 || Alive(fleet.Fleet{Instances: ready(e.Fleets[0].Instances)}, release(1)).Decision != OK {
			t.Errorf("%+v, %v", e.Fleets, err)
		}
	})
}

func ready(all []fleet.Instance) (some []fleet.Instance) {
	for _, i := range all {
		if i.State == fleet.Ready {
			some = append(some, i)
		}
	}
	return some
}

func TestLongConnectionsGetTheirDeadline(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, book)
		if _, err := st.site.Begin("test", "till"); err != nil { // never ends
			t.Fatal(err)
		}
		started := time.Now()
		out, err := st.run(plan())
		if took := time.Since(started); err != nil || out.Status != journal.Done || took != 3*time.Second {
			t.Errorf("%v: %+v, %v", took, out, err)
		}
		st.whole(2, "long connection")
	})
}

func TestLongConnectionsDoNotKeepARefusalStuck(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, book)
		time.AfterFunc(100*time.Millisecond, func() {
			for range 20 {
				if _, err := st.site.Begin("test", "till"); err != nil {
					t.Error(err)
				}
			}
			st.site.Kill("test", "till", 2, "exit status 7")
		})
		p := plan()
		p.Options.Drain = time.Hour
		out, err := st.run(p)
		st.judged("refused", 1, "exit status 7", out, err)
	})
}

func TestFirstDeployment(t *testing.T) {
	t.Parallel()
	s := memory.New()
	if err := s.Apply(t.Context(), bistro, "test"); err != nil {
		t.Fatal(err)
	}
	st := &stage{t: t, site: s, journal: journal.Open(openBook(t)), id: "first"}
	p := plan()
	p.From = fleet.Release{}
	s.SetUnready(p.To.Image)
	if out, err := st.run(p); !errors.Is(err, site.ErrUnready) || out.Status != journal.Undone {
		t.Errorf("%+v, %v", out, err)
	}
	p.To.Image, st.id = "sha256:good", "second"
	if out, err := st.run(p); err != nil || out.Status != journal.Done {
		t.Errorf("%+v, %v", out, err)
	}
	st.whole(2, "first")
}

// TestOneFirst: of what may change its database at start a second instance comes when
// the first one is ready, at its first deployment and at each later one; where the first
// does not get ready, no second one comes.
func TestOneFirst(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} {
		for _, bad := range []bool{true, false} {
			s := memory.New()
			if err := s.Apply(t.Context(), bistro, "test"); err != nil {
				t.Fatal(err)
			}
			p := plan()
			p.OneFirst, p.To.Count = true, 3
			if first {
				p.From = fleet.Release{}
			} else if err := errors.Join(s.Launch(t.Context(), p.From), s.Shift(t.Context(), "test", "till", fleet.Weights{1: 100})); err != nil {
				t.Fatal(err)
			}
			if bad {
				s.SetUnready(p.To.Image)
			}
			most, together := 0, 0
			s.SetWatch(func(e site.Environment) {
				ready, all := 0, 0
				for _, i := range e.Fleets[0].Instances {
					if i.Release == p.To.Number {
						all++
						if i.State == fleet.Ready {
							ready++
						}
					}
				}
				most = max(most, all)
				if all == 1 {
					together = ready
				}
				if all > 1 && together == 0 {
					t.Errorf("first deployment %v, bad %v: %d instances before one was ready", first, bad, all)
				}
			})
			st := &stage{t: t, site: s, journal: journal.Open(openBook(t)), id: fmt.Sprint("one first ", first, bad)}
			out, err := st.run(p)
			if want := map[bool]int{true: 1, false: 3}[bad]; most != want || bad == (err == nil) {
				t.Errorf("first deployment %v, bad %v: %d instances: %+v, %v", first, bad, most, out, err)
			}
		}
	}
}

// TestDeadIsReplaced: where nothing serves, a good release does so without being
// judged against it, and a bad one neither gets stuck nor stands in the way of the next.
func TestDeadIsReplaced(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, book)
		st.kill()
		bad := st.planned(release(2))
		st.site.SetUnready(bad.To.Image)
		if out, err := st.run(bad); !bad.Dead || !errors.Is(err, site.ErrUnready) || out.Status != journal.Undone {
			t.Errorf("%+v, %v", out, err)
		}
		good, started := st.planned(release(3)), time.Now()
		st.id += " again"
		if out, err := st.run(good); !good.Dead || err != nil || out.Status != journal.Done {
			t.Errorf("%+v, %v", out, err)
		}
		if took := time.Since(started); took >= good.Options.Watch {
			t.Errorf("nobody was served for %v more", took)
		}
		st.whole(3, "dead")
		if next := st.planned(release(4)); next.Dead {
			t.Error("what serves is called dead")
		}
	})
}

// kill release 1: from now on there are instants at which nobody serves.
func (st *stage) kill() {
	st.dead = true
	st.site.SetWatch(nil)
	st.site.Kill("test", "till", 1, "exit status 7")
}

// planned is a rollout to a release, as planned from what serves now.
func (st *stage) planned(to fleet.Release) Plan {
	st.t.Helper()
	p := plan()
	e, err := st.site.Observe(context.Background(), "test")
	if err != nil {
		st.t.Fatal(err)
	}
	for _, r := range e.Fleets[0].Releases {
		if e.Fleets[0].Weights[r.Number] > 0 {
			p.From = r
		}
	}
	p, err = NewPlan(context.Background(), st.site, p.From, to, p.Options)
	if err != nil {
		st.t.Fatal(err)
	}
	return p
}

func TestPlanIsChecked(t *testing.T) {
	t.Parallel()
	book := openBook(t)
	for name, spoil := range map[string]func(*Plan){
		"no service":    func(p *Plan) { p.Service = "" },
		"other service": func(p *Plan) { p.To.Service = "menu" },
		"same release":  func(p *Plan) { p.To.Number = 1 },
		"no instances":  func(p *Plan) { p.To.Count = 0 },
		"whole share":   func(p *Plan) { p.Options.Share = 100 },
		"stale":         func(p *Plan) { p.From.Number = 7 },
		"not the first": func(p *Plan) { p.From = fleet.Release{} },
	} {
		st, p := newStage(t, book), plan()
		spoil(&p)
		if out, err := st.run(p); !errors.Is(err, ErrInvalid) || out.Status != journal.Undone {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		st.whole(1, name)
	}
}

func TestPlanSurvivesJSON(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(plan())
	if err != nil {
		t.Fatal(err)
	}
	var again Plan
	if err := json.Unmarshal(body, &again); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", plan()) {
		t.Errorf("got %+v", again)
	}
}
