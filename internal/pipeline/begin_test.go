package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/lockfile"
)

// TestFree: who asks before beginning learns what would refuse the run, and leaves
// nothing behind.
func TestFree(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	plan := Plan{Landscape: bistro(), Pipeline: wholePipeline()}
	free := func(alone bool) error { return Open(th.state).Free(t.Context(), plan, alone) }
	if err := errors.Join(free(true), free(false)); err != nil {
		t.Fatalf("where nothing is: %v", err)
	}
	first := th.begin("local", wholePipeline())
	if err := errors.Join(free(true), free(false)); err != nil {
		t.Fatalf("nobody drives: %v", err)
	}
	held := must(first.claim(t.Context(), lockfile.Shared)) // a stage of it
	if err := free(false); err != nil {
		t.Errorf("a stage beside a stage: %v", err)
	}
	if err := free(true); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), first.ID) {
		t.Errorf("a run beside a stage: %v", err)
	}
	held()
	held = must(first.claim(t.Context(), lockfile.Alone))
	for _, alone := range []bool{true, false} {
		if err := free(alone); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), first.ID) {
			t.Errorf("beside a run: %v", err)
		}
	}
	held()
	if err := os.WriteFile(filepath.Join(first.dir, "run.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var d *Damaged
	if err := free(true); !errors.As(err, &d) {
		t.Errorf("beside a damaged one: %v", err)
	}
	if files := must(filepath.Glob(filepath.Join(th.state, "pipelines", "*"))); len(files) != 2 { // the run, and the lock
		t.Errorf("there is %q", files)
	}
}

// TestPruneNeverBegan: a run that came to no stage goes after a while, however many
// stay; not a young one, one in use, or one that came to a stage.
func TestPruneNeverBegan(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	begin := func(ago time.Duration, p landscape.Pipeline) *Run {
		return must(Open(th.state).Begin(Plan{Landscape: bistro(), Pipeline: p, Dir: th.dir, Site: "local"}, time.Now().Add(-ago)))
	}
	old, inUse, young := begin(2*time.Hour, wholePipeline()), begin(2*time.Hour, wholePipeline()), begin(time.Minute, wholePipeline())
	waiting := begin(2*time.Hour, asking(time.Minute))
	var w *Waiting
	if err := waiting.Drive(t.Context(), Drive{}); !errors.As(err, &w) {
		t.Fatal(err)
	}
	partly := begin(2*time.Hour, wholePipeline())
	if err := partly.Stage(t.Context(), "test", "", nil, Drive{}); err != nil {
		t.Fatal(err)
	}
	use := must(inUse.share(t.Context()))
	done := must(Open(th.state).Prune(t.Context(), Prune{Keep: 5}))
	if !slices.Equal(done.removed(), []string{old.ID}) || !th.gone(old) {
		t.Errorf("removed %q, want %s: %+v", done.removed(), old.ID, done)
	}
	for r, why := range map[*Run]string{inUse: "a process is at work", young: "has not ended", waiting: "waits for", partly: "has not ended"} {
		if th.gone(r) || !strings.Contains(done.kept(r.ID), why) {
			t.Errorf("%s, because %s: %+v", r.ID, why, done)
		}
	}
	if err := use.Unlock(); err != nil {
		t.Fatal(err)
	}
	if done = must(Open(th.state).Prune(t.Context(), Prune{Keep: 5})); !slices.Equal(done.removed(), []string{inUse.ID}) {
		t.Errorf("then %+v", done)
	}
}

// TestImagesGone: a run whose images somebody has removed says what is to be done.
func TestImagesGone(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	th.put("deploy-till-test.exit", "1")
	p := wholePipeline()
	p.Services = []string{"till"}
	r := th.begin("local", p)
	if err := r.Drive(t.Context(), Drive{}); err == nil {
		t.Fatal("it did not fail")
	}
	if err := os.RemoveAll(filepath.Join(r.dir, "images")); err != nil {
		t.Fatal(err)
	}
	err := r.Drive(t.Context(), Drive{})
	if err == nil || !strings.Contains(err.Error(), "built of till is gone or damaged") || !strings.HasSuffix(err.Error(), "begin a new run") {
		t.Errorf("got %v", err)
	}
}

// TestProbeKilled: what a killed probe leaves lies in its run, and goes with the next
// attempt.
func TestProbeKilled(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	th.hold("probe-tills-test")
	p := wholePipeline()
	p.Stages = p.Stages[4:5]
	r := th.begin("local", p)
	runner, _ := th.runner(r)
	th.began("probe", 1)
	u := units(p, 0)[0]
	kill(t, runner)
	if err := syscall.Kill(holder(r.unitFile(u, "lock")), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	th.nothingRuns()
	left := strings.TrimPrefix(th.calls("temp ")[0], "temp ")
	if _, err := os.Stat(left); err != nil || !strings.HasPrefix(left, r.dir+"/") {
		t.Errorf("it left %s, %v", left, err)
	}
	th.remove("probe-tills-test.hold")
	if err := r.Drive(t.Context(), Drive{}); err != nil {
		t.Fatal(err)
	}
	if len(th.calls("temp ")) != 2 {
		t.Error("it was not done again")
	}
	if found := must(filepath.Glob(filepath.Join(r.unitDir(u), "tmp"))); len(found) > 0 {
		t.Errorf("%q is left", found)
	}
}

// TestLockIsNoRun: a lock among the runs is not taken for one, and none gets its name.
func TestLockIsNoRun(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.ended("true")
	lock := filepath.Base(r.lockPath())
	if _, err := Open(th.state).Get(lock); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(th.state).Begin(Plan{ID: lock, Landscape: bistro(), Pipeline: wholePipeline(), Site: "local"}, time.Now()); !errors.Is(err, ErrUsage) {
		t.Errorf("begun: %v", err)
	}
}

// TestInterruptionWords: once, without Go's own.
func TestInterruptionWords(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", wholePipeline())
	err := r.interrupted("test", context.Canceled)
	want := `interrupted in stage "test"; nothing of it runs any more; go on with godwit pipeline run --resume ` + r.ID
	if err.Error() != want || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
