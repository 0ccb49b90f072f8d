package tofu

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// godwit applies the saved plan of r in a process of its own, until the slow
// resource is under way; what it returns kills it.
func godwit(t *testing.T, d *Driver, r Root) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), play+"="+r.Dir, "GODWIT_TOFU="+d.Program.Path)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	eventually(t, func() bool {
		b, err := r.read(runLog)
		return err == nil && strings.Contains(string(b), `"addr":"terraform_data.slow"`) && strings.Contains(string(b), `"provision_start"`)
	})
	return kill
}

// eventually waits for a condition, as long as a test may take.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal("it did not come true within a minute")
		}
	}
}

// TestGodwitKilled: the program goes on, is found again, and its state is whole.
func TestGodwitKilled(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, hangs)
	mustPlan(t, d, r, PlanOptions{})
	godwit(t, d, r)()
	var running *RunningError
	if _, err := d.Plan(t.Context(), r, PlanOptions{}); !errors.As(err, &running) || !errors.Is(err, ErrBusy) {
		t.Fatalf("a plan meanwhile: %v", err)
	}
	notes := newDiary(nil)
	d.Progress = func(e Event) {
		notes.take(e)
		if slowStarted(e) {
			rewrite(t, r.file("let"), "")
		}
	}
	result, err := d.Attach(t.Context(), r, ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Outcome.Done) != 3 || len(notes.of(Done)) != 3 {
		t.Errorf("outcome %s", asJSON(t, result))
	}
	d.Progress = nil
	mustBeEmpty(t, d, r)
	if _, err := d.Attach(t.Context(), r, ApplyOptions{}); err == nil {
		t.Error("there was something to attach to after the end")
	}
}

// TestAttachedInterrupt: one who attached stops it as well as who began it.
func TestAttachedInterrupt(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, hangs)
	mustPlan(t, d, r, PlanOptions{})
	godwit(t, d, r)()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.Attach(ctx, r, ApplyOptions{})
	var f *Failure
	if !errors.Is(err, ErrInterrupted) || !errors.As(err, &f) || !slices.Equal(addresses(f.Outcome.Done), []string{"terraform_data.first"}) {
		t.Fatalf("got %v", err)
	}
	rewrite(t, r.file("let"), "")
	mustApply(t, d, r)
	mustBeEmpty(t, d, r)
}

// TestAllKilled: the machine went down. The next plan says so and goes on.
func TestAllKilled(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, hangs)
	mustPlan(t, d, r, PlanOptions{})
	kill := godwit(t, d, r)
	w, err := loadRun(r)
	if err != nil || w == nil || !w.alive() {
		t.Fatalf("%v, %v", w, err)
	}
	kill()
	if err := syscall.Kill(-w.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return !w.alive() })
	s := mustPlan(t, d, r, PlanOptions{})
	if !strings.Contains(s.Summary.Note, "cut off (1 done, 1 begun and not finished, 1 not begun)") {
		t.Errorf("note %q", s.Summary.Note)
	}
	// The program had not written down yet that the first is made.
	if len(s.Summary.Lost) != 1 || s.Summary.Lost[0].Address != "terraform_data.first" || len(Guard(s.Summary, Stakes{})) != 1 {
		t.Fatalf("lost %s, reasons %v", asJSON(t, s.Summary.Lost), Guard(s.Summary, Stakes{}))
	}
	if err := d.Adopt(t.Context(), r, s.Summary.Lost, PlanOptions{}); err != nil {
		t.Fatal(err)
	}
	s = mustPlan(t, d, r, PlanOptions{})
	if n := len(s.Summary.Changes()); n > 3 || len(s.Summary.Lost) != 0 || len(s.Summary.Create) != 2 {
		t.Errorf("after the adoption: %s", asJSON(t, s.Summary))
	}
	rewrite(t, r.file("let"), "")
	if _, err := d.Apply(t.Context(), s, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	mustBeEmpty(t, d, r)
	if s := mustPlan(t, d, r, PlanOptions{}); s.Summary.Note != "" {
		t.Errorf("it is still said: %q", s.Summary.Note)
	}
}

// TestWrittenDownFirst: when the program begins, whoever comes next can find it;
// whose godwit has gone before never begins.
func TestWrittenDownFirst(t *testing.T) {
	t.Parallel()
	r := account(t, hangs)
	if err := r.check(); err != nil {
		t.Fatal(err)
	}
	rewrite(t, r.file("apply"), "cp "+runFile+" seen && echo $$ >pid") // sh apply -json …
	w, err := (&Driver{Program: Program{Path: "/bin/sh"}}).start(Saved{Root: r, Place: localPlace}, ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-w.ended; err != nil {
		t.Fatal(err)
	}
	seen, _ := r.read("seen")
	pid, _ := r.read("pid")
	if err := os.WriteFile(r.file(runFile), seen, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := loadRun(r)
	if err != nil || strings.TrimSpace(string(pid)) != strconv.Itoa(found.PID) || found.Born != w.Born {
		t.Errorf("process %s began, and this was written down: %s, %v", pid, seen, err)
	}

	orphan := exec.Command("/bin/sh", "-c", gate, "godwit", "touch", r.file("begun"))
	orphan.Stdin = strings.NewReader("")
	if err := orphan.Run(); err == nil || r.has("begun") {
		t.Errorf("it began: %v", err)
	}
}

// TestProgramKilled: only the program ends, and godwit says what it knows.
func TestProgramKilled(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, hangs)
	s := mustPlan(t, d, r, PlanOptions{})
	notes := newDiary(slowStarted)
	d.Progress = notes.take
	go func() {
		<-notes.seen
		if w, err := loadRun(r); err == nil && w != nil && w.PID > 0 {
			_ = syscall.Kill(-w.PID, syscall.SIGKILL)
		}
	}()
	_, err := d.Apply(t.Context(), s, ApplyOptions{})
	var f *Failure
	if !errors.As(err, &f) || f.Outcome == nil || len(f.Outcome.Half) != 1 || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("got %v", err)
	}
	d.Progress = nil
	rewrite(t, r.file("let"), "")
	mustApply(t, d, r)
	mustBeEmpty(t, d, r)
}

func TestTwoGodwits(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, hangs)
	mustPlan(t, d, r, PlanOptions{})
	godwit(t, d, r)
	if _, err := d.Plan(t.Context(), r, PlanOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	rewrite(t, r.file("let"), "")
	eventually(t, func() bool { return !r.has(runFile) && !r.has(defaultPlan) })
}
