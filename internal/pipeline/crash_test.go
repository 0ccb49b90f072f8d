package pipeline

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKilledInEachStage: the runner is killed while a stage is under way. Its
// workers go on; resuming attaches to them, and no command has run twice.
func TestKilledInEachStage(t *testing.T) {
	t.Parallel()
	for key, unit := range map[string]string{"build-menu": "build/menu", "bake-till": "bake/till", "deploy-till-test": "deploy-test/till",
		"probe-tills-test": "smoke", "deploy-menu-production": "production/menu"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			th := newTheatre(t)
			th.hold(key)
			th.put(key+".say", "what it said\n")
			r := th.begin("aws", wholePipeline())
			runner, _ := th.runner(r)
			th.soon(func() error { return th.isHeld(key) })
			kill(t, runner)
			if s := th.status(r); s != Running {
				t.Errorf("without its runner it is %s", s)
			}
			ended, attached, seen := make(chan error), make(chan struct{}), make(chan string, 1)
			go func() {
				ended <- r.Drive(t.Context(), Drive{Approve: true, Watch: func(e Event) {
					switch {
					case e.Moment == Attached && e.Unit.Name() == unit:
						close(attached)
					case e.Text == "what it said":
						seen <- e.Unit.Name()
					}
				}})
			}()
			<-attached
			th.release(key)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			select {
			case <-seen:
			default:
				t.Error("what it wrote afterwards was not seen")
			}
			th.onceEach()
		})
	}
}

// isHeld: a command has begun that then waits at its fifo.
func (th *theatre) isHeld(key string) error {
	for _, line := range th.calls("begin ") {
		if sceneKey(strings.Fields(line)[1:]) == key {
			return nil
		}
	}
	return fmt.Errorf("%s has not begun", key)
}

func (th *theatre) onceEach() {
	th.Helper()
	calls := th.calls("begin ")
	sorted := slices.Sorted(slices.Values(calls))
	if len(slices.Compact(sorted)) != len(calls) {
		th.Errorf("something ran twice:\n%s", strings.Join(calls, "\n"))
	}
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// TestKilledAnywhere kills the runner at each event that it tells, with or
// without its workers, and again while it resumes. Whatever is left: a stage that
// is done is not done again, one that was under way is done at the end, and none
// of the killed one's processes runs beside its successor's.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	for _, workers := range []bool{false, true} {
		t.Run(fmt.Sprintf("workers %v", workers), func(t *testing.T) {
			t.Parallel()
			first, stride, kills := 1, 2, 0
			if workers {
				first = 2
			}
			if testing.Short() {
				stride = 8
			}
			for at := first; ; at += stride {
				th := newTheatre(t)
				r := th.begin("aws", wholePipeline())
				if !th.killAt(r, at, workers) {
					break
				}
				kills++
				done := th.finished(r)
				if th.killAt(r, at/2+1, workers) {
					done = th.finished(r)
				}
				before := th.calls("begin ")
				if err := r.Drive(t.Context(), Drive{Approve: true}); err != nil {
					t.Fatalf("killed at event %d: %v", at, err)
				}
				for _, line := range th.calls("begin ")[len(before):] {
					if done[line] {
						t.Errorf("killed at event %d: done again: %s", at, line)
					}
				}
				if !workers {
					th.onceEach()
				}
				if s := th.status(r); s != Done {
					t.Errorf("killed at event %d: in the end it is %s", at, s)
				}
				th.nothingRuns()
			}
			if kills < 16/stride {
				t.Errorf("only %d kills", kills)
			}
		})
	}
}

// killAt lets a runner tell n events and kills it; false when it ended before.
func (th *theatre) killAt(r *Run, n int, workers bool) bool {
	runner, events := th.runner(r)
	for range n {
		if !events.Scan() {
			if err := runner.Wait(); err != nil {
				th.Fatalf("the runner failed: %v", err)
			}
			return false
		}
	}
	_ = runner.Process.Kill() // it may have ended by itself
	_ = runner.Wait()         // it was killed
	if workers {
		th.soon(func() error {
			left := th.processes()
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
			}
			if len(left) > 0 {
				return fmt.Errorf("processes %v live on", left)
			}
			for _, u := range must(r.Units("", "")) { // what is ending is seen no more before its lock is free
				if pid := holder(r.unitFile(u, "lock")); pid != 0 {
					return fmt.Errorf("process %d is still ending", pid)
				}
			}
			return nil
		})
	}
	return true
}

// finished are the calls of units that are written down as done.
func (th *theatre) finished(r *Run) map[string]bool {
	done := map[string]bool{}
	for _, u := range must(r.Units("", "")) {
		res := must(r.result(u))
		c, _, err := r.command(u)
		if err != nil || res.Status != Done || c.own {
			continue
		}
		done["begin "+strings.ReplaceAll(strings.Join(c.args, " "), th.state, "STATE")] = true
	}
	return done
}

// TestKilledWorker: what a killed worker's command had started is ended before
// the unit is tried again.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	// The first attempt leaves a child that ignores everything; the second ends.
	r := th.begin("local", shell(`if mkdir first 2>/dev/null; then (trap "" INT TERM HUP; echo up; sleep 1000) & sleep 1000; fi; echo second`, time.Minute))
	up := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- r.Drive(t.Context(), Drive{Watch: func(e Event) {
			if e.Text == "up" {
				close(up)
			}
		}})
	}()
	<-up
	u := units(r.Pipeline, 0)[0]
	first := must(r.lastAttempt(u)).Worker
	end(r.unitFile(u, "lock"), false)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "its worker was killed") {
		t.Errorf("got %v", err)
	}
	if left := members(first, r.mark(u)); len(left) == 0 {
		t.Error("the killed worker left nothing: the test proves nothing")
	}
	if err := r.Drive(t.Context(), Drive{}); err != nil {
		t.Fatal(err)
	}
	th.nothingRuns()
}

// TestUnseenFailure: a unit that failed while nobody watched is not silently
// tried again; the failure is told once, then the next run tries again.
func TestUnseenFailure(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	th.hold("build-till")
	th.put("build-till.exit", "1")
	r := th.begin("local", wholePipeline())
	runner, _ := th.runner(r)
	th.began("build", 2)
	kill(t, runner)
	th.release("build-till")
	th.nothingRuns()
	for i, want := range []int{2, 3} {
		if err := r.Drive(t.Context(), Drive{}); err == nil || !strings.Contains(err.Error(), "build/till: failed") {
			t.Fatalf("got %v", err)
		}
		if calls := th.calls("begin build"); len(calls) != want {
			t.Errorf("after going on %d times: %d builds", i+1, len(calls))
		}
	}
}
