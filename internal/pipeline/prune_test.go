package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/lockfile"
)

func (p Pruned) kept(id string) string {
	for _, k := range p.Kept {
		if k.ID == id {
			return k.Why
		}
	}
	return ""
}

func (p Pruned) removed() (ids []string) {
	for _, r := range p.Removed {
		ids = append(ids, r.ID)
	}
	return ids
}

// ended is a run of one command that has ended.
func (th *theatre) ended(script string) *Run {
	th.Helper()
	r := th.begin("local", shell(script, time.Minute))
	if err := r.Drive(context.Background(), Drive{}); (err != nil) != (script == "false") {
		th.Fatal(err)
	}
	return r
}

func (th *theatre) gone(r *Run) bool {
	_, err := Open(th.state).Get(r.ID)
	return errors.Is(err, ErrNotFound)
}

// TestPrune: the newest that have ended stay, of each pipeline; whatever did not
// end stays, and what somebody works on.
func TestPrune(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	old := []*Run{th.ended("true"), th.ended("false"), th.ended("true")}
	unfinished := th.begin("local", shell("true", time.Minute))
	waiting := th.begin("local", asking(time.Minute))
	var w *Waiting
	if err := waiting.Drive(t.Context(), Drive{}); !errors.As(err, &w) {
		t.Fatal(err)
	}
	denied := th.begin("local", asking(time.Minute))
	if err := denied.Stage(t.Context(), "approve", "", refuses("ann"), Drive{}); err == nil {
		t.Fatal("denied, and it goes on")
	}
	inUse := th.ended("false")
	use := must(inUse.share(t.Context()))
	newest := []*Run{th.ended("false"), th.ended("true")}
	elsewhere := shell("true", time.Minute)
	elsewhere.Name = "other"
	var others []*Run
	for range 2 {
		r := th.begin("local", elsewhere)
		if err := r.Drive(t.Context(), Drive{}); err != nil {
			t.Fatal(err)
		}
		others = append(others, r)
	}
	gone := append([]*Run{denied}, old...)

	dry := must(Open(th.state).Prune(t.Context(), Prune{Keep: 2, Dry: true}))
	for _, r := range gone {
		if th.gone(r) {
			t.Errorf("%s is gone though it was dry", r.ID)
		}
	}
	done := must(Open(th.state).Prune(t.Context(), Prune{Keep: 2}))
	if !reflect.DeepEqual(done, dry) {
		t.Errorf("foretold\n%+v\nand done\n%+v", dry, done)
	}
	for _, r := range gone {
		if !th.gone(r) || !slices.Contains(done.removed(), r.ID) {
			t.Errorf("%s is not gone: %+v", r.ID, done)
		}
	}
	for why, runs := range map[string][]*Run{"it has not ended": {unfinished}, "it waits for an approval": {waiting}, "a process is at work on it": {inUse},
		"one of the newest 2": {newest[0], newest[1], others[0], others[1]}} {
		for _, r := range runs {
			if th.gone(r) || !strings.Contains(done.kept(r.ID), why) {
				t.Errorf("%s, because %s: %+v", r.ID, why, done)
			}
		}
	}
	if len(done.Removed) != len(gone) || len(done.Kept) != 7 {
		t.Errorf("%d removed, %d kept", len(done.Removed), len(done.Kept))
	}
	if err := use.Unlock(); err != nil {
		t.Fatal(err)
	}
	again := must(Open(th.state).Prune(t.Context(), Prune{Keep: 1, Of: inUse}))
	if want := []string{newest[0].ID, inUse.ID}; !slices.Equal(again.removed(), want) {
		t.Errorf("then %q, want %q", again.removed(), want)
	}
	if th.gone(others[0]) {
		t.Error("it was to keep to one pipeline")
	}
	if _, err := Open(th.state).Prune(t.Context(), Prune{}); !errors.Is(err, ErrUsage) {
		t.Errorf("to keep nothing: %v", err)
	}
	if done, err := Open(t.TempDir()).Prune(t.Context(), Prune{Keep: 1}); err != nil || len(done.Removed)+len(done.Kept) > 0 {
		t.Errorf("where nothing is: %+v, %v", done, err)
	}
}

// TestPruneWorkers: a run whose runner was killed and whose worker lives is not
// removed, though its last result is a failure.
func TestPruneWorkers(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	pipe := filepath.Join(th.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	r := th.begin("local", shell("mkdir first 2>/dev/null && exit 1; read x <pipe", time.Minute))
	if err := r.Drive(t.Context(), Drive{}); err == nil {
		t.Fatal("it did not fail")
	}
	th.ended("true")
	runner, _ := th.runner(r)
	u := units(r.Pipeline, 0)[0]
	th.soon(func() error {
		if n := must(r.lastAttempt(u)).Number; n != 2 {
			return fmt.Errorf("attempt %d", n)
		}
		return nil
	})
	kill(t, runner)
	done := must(Open(th.state).Prune(t.Context(), Prune{Keep: 1}))
	if th.gone(r) || done.kept(r.ID) == "" {
		t.Errorf("%+v", done)
	}
	if err := os.WriteFile(pipe, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	th.nothingRuns()
	done = must(Open(th.state).Prune(t.Context(), Prune{Keep: 1}))
	if !th.gone(r) || !slices.Contains(done.removed(), r.ID) {
		t.Errorf("its worker has ended: %+v", done)
	}
}

// TestPruneOvertaken: the last run that deployed stays, whatever came after it: an
// older one that is gone on with learns from it that it is overtaken.
func TestPruneOvertaken(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	p := landscape.Pipeline{Name: "till", Services: []string{"till"}, Stages: []landscape.Stage{
		{Name: "build", Build: true, Timeout: time.Minute},
		{Name: "approve", Approve: "Go?", Timeout: time.Minute},
		{Name: "deploy", Deploy: "test", Timeout: time.Minute},
	}}
	early := th.begin("local", p)
	var w *Waiting
	if err := early.Drive(t.Context(), Drive{}); !errors.As(err, &w) {
		t.Fatal(err)
	}
	var deployed []*Run
	for range 2 {
		r := th.begin("local", p)
		if err := r.Drive(t.Context(), Drive{Approve: true}); err != nil {
			t.Fatal(err)
		}
		deployed = append(deployed, r)
	}
	th.ended("false")
	done := must(Open(th.state).Prune(t.Context(), Prune{Keep: 1}))
	if !slices.Equal(done.removed(), []string{deployed[0].ID}) || done.kept(deployed[1].ID) != "it was the last that deployed to test" {
		t.Errorf("%+v", done)
	}
	if err := early.Drive(t.Context(), Drive{Approve: true}); err == nil || !strings.Contains(err.Error(), deployed[1].ID) {
		t.Errorf("the older run: %v", err)
	}
}

// TestPrunedMeanwhile: what is removed while somebody is about to go on with it is
// gone, not half there; who comes first keeps it.
func TestPrunedMeanwhile(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.ended("false")
	th.ended("true")
	must(Open(th.state).Prune(t.Context(), Prune{Keep: 1}))
	if err := r.Drive(t.Context(), Drive{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := Open(th.state).Work(t.Context(), Job{Run: r.ID, Attempt: 2}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a worker: %v", err)
	}
	if _, err := os.Stat(r.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is there again: %v", err)
	}
}

// TestPruneKilled kills it while it deletes: each run is whole or gone, and the
// next call deletes the rest.
func TestPruneKilled(t *testing.T) {
	t.Parallel()
	left := 0
	for n := 0; left < 3 && n < 50; n++ {
		th := newTheatre(t)
		for range 3 {
			th.heavy(th.ended("true"))
		}
		before, _, err := Open(th.state).States()
		if err != nil {
			t.Fatal(err)
		}
		if !th.killedPruning() {
			continue
		}
		left++
		after, damaged, err := Open(th.state).States()
		if err != nil || len(damaged) > 0 {
			t.Fatalf("%+v, %v", damaged, err)
		}
		for _, s := range after {
			if !slices.ContainsFunc(before, func(b State) bool { return reflect.DeepEqual(b, s) }) {
				t.Errorf("it was half removed: %+v", s)
			}
			if files, err := filepath.Glob(filepath.Join(th.state, "pipelines", s.ID, "images", "*")); err != nil || len(files) != heavy {
				t.Errorf("%s has %d files of %d left, %v", s.ID, len(files), heavy, err)
			}
		}
		done := must(Open(th.state).Prune(t.Context(), Prune{Keep: 1}))
		if done.Leftovers != 1 {
			t.Errorf("%d leftovers removed", done.Leftovers)
		}
		if rest := th.remains(); len(rest) > 0 {
			t.Errorf("%q are left", rest)
		}
	}
	if left < 3 {
		t.Errorf("only %d calls were killed in time", left)
	}
}

// heavy is how many files make a run slow to delete.
const heavy = 3000

func (th *theatre) heavy(r *Run) {
	th.Helper()
	images := filepath.Join(r.dir, "images")
	err := os.Mkdir(images, 0o700)
	for n := range heavy {
		err = errors.Join(err, os.WriteFile(filepath.Join(images, fmt.Sprint(n)), nil, 0o600))
	}
	if err != nil {
		th.Fatal(err)
	}
}

func (th *theatre) remains() []string {
	return must(filepath.Glob(filepath.Join(th.state, "pipelines", ".removed-*")))
}

// killedPruning kills a call of Prune as soon as something is on its way out;
// false when it was too fast.
func (th *theatre) killedPruning() bool {
	th.Helper()
	cmd := exec.Command(must(os.Executable()), "pipeline", "prune", "--state", th.state)
	if err := cmd.Start(); err != nil {
		th.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for len(th.remains()) == 0 {
		select {
		case err := <-ended:
			if err != nil {
				th.Fatal(err)
			}
			return false
		default:
		}
	}
	_ = cmd.Process.Kill() // it may have ended by itself
	<-ended
	return len(th.remains()) == 1
}

// TestWaitsEnd: whoever waits for a lock stops when its context does, at that
// moment. Time is the test's own.
func TestWaitsEnd(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", wholePipeline())
	queue, prune := filepath.Join(r.runs.dir(), "rollout.lock"), filepath.Join(r.runs.dir(), "prune.lock")
	for name, c := range map[string]struct {
		path string
		wait func(context.Context) error
	}{
		"runner":  {r.lockPath(), func(ctx context.Context) error { return r.Drive(ctx, Drive{}) }},
		"stage":   {r.lockPath(), func(ctx context.Context) error { return r.Stage(ctx, "test", "", nil, Drive{}) }},
		"use":     {r.usePath(), func(ctx context.Context) error { return r.Drive(ctx, Drive{}) }},
		"worker":  {r.usePath(), func(ctx context.Context) error { return r.runs.Work(ctx, Job{Run: r.ID, Attempt: 1}) }},
		"rollout": {queue, func(ctx context.Context) error { _, err := r.queue(ctx, Unit{Stage: 3}, io.Discard); return err }},
		"prune":   {prune, func(ctx context.Context) error { _, err := r.runs.Prune(ctx, Prune{Keep: 1}); return err }},
	} {
		held := must(lockfile.Try(c.path, lockfile.Alone))
		synctest.Test(t, func(t *testing.T) {
			const after = 3 * look
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			began := time.Now()
			if err := c.wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != after {
				t.Errorf("%s: after %s: %v", name, time.Since(began), err)
			}
		})
		if err := held.Unlock(); err != nil {
			t.Error(err)
		}
	}
}
