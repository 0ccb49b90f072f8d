package pipeline

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/landscape"
)

// released is a pipeline that builds, asks, and then runs a command.
func released(change func(*landscape.Stage)) landscape.Pipeline {
	p := shell("echo released", time.Minute)
	ask := landscape.Stage{Name: "approve", Approve: "Go?", Timeout: time.Hour, Approvals: 1, Valid: time.Hour}
	if change != nil {
		change(&ask)
	}
	p.Stages = append([]landscape.Stage{{Name: "build", Build: true, Timeout: time.Minute}, ask}, p.Stages...)
	return p
}

// repository makes a directory a working copy with one commit.
func repository(t *testing.T, dir string) func(words ...string) {
	t.Helper()
	git := func(words ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org"}, words...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", words, err, out)
		}
	}
	put(t, filepath.Join(dir, "code"), "1")
	put(t, filepath.Join(dir, ".gitignore"), "built\n")
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "first")
	return git
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ran says that the stage after the approval was begun.
func ran(r *Run) bool { return must(r.lastAttempt(Unit{Stage: 2, Title: "run"})).Number > 0 }

// TestApprovalOfSomethingElse: what changes after the approval was asked for, or
// given, is not approved; the run says what it is, and asks again.
func TestApprovalOfSomethingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, th *theatre, r *Run, git func(...string))
		says   string
	}{
		"tracked file": {func(t *testing.T, th *theatre, _ *Run, _ func(...string)) { put(t, filepath.Join(th.dir, "code"), "2") }, "the source was"},
		"new file":     {func(t *testing.T, th *theatre, _ *Run, _ func(...string)) { put(t, filepath.Join(th.dir, "more"), "2") }, "the source was"},
		"new commit": {func(t *testing.T, th *theatre, _ *Run, git func(...string)) {
			put(t, filepath.Join(th.dir, "code"), "2")
			git("commit", "-q", "-a", "-m", "second")
		}, "the source was"},
		"image": {func(t *testing.T, _ *theatre, r *Run, _ func(...string)) {
			put(t, filepath.Join(r.imageDir("till"), "index.json"), `{"manifests":[{"digest":"sha256:other"}]}`)
		}, "the image of till was"},
		"image gone": {func(t *testing.T, _ *theatre, r *Run, _ func(...string)) {
			if err := os.RemoveAll(r.imageDir("menu")); err != nil {
				t.Fatal(err)
			}
		}, "the image of menu was"},
		"landscape": {func(t *testing.T, th *theatre, _ *Run, _ func(...string)) {
			put(t, filepath.Join(th.state, "digest"), "other")
		}, "the landscape was"},
	} {
		for _, given := range []bool{false, true} { // before the change, or after it
			t.Run(fmt.Sprintf("%s/given=%v", name, given), func(t *testing.T) {
				t.Parallel()
				th := newTheatre(t)
				git := repository(t, th.dir)
				r := th.begin("local", released(nil))
				var asked []string
				drive := Drive{Digest: th.digest, Watch: func(e Event) {
					if e.Moment == Asked {
						asked = append(asked, e.Text)
					}
				}}
				th.waits(r, drive)
				if given {
					th.approve(r, "ann")
				}
				c.change(t, th, r, git)
				th.waits(r, drive)
				if last := asked[len(asked)-1]; !strings.Contains(last, c.says) || given && !strings.Contains(last, "has changed") {
					t.Errorf("it says %q", last)
				}
				if ran(r) {
					t.Error("what nobody approved was done")
				}
				th.approve(r, "ann")
				if err := r.Drive(t.Context(), drive); err != nil || !ran(r) {
					t.Errorf("approved as it is now: %v", err)
				}
			})
		}
	}
}

// digest of the landscape's files, as a file has it.
func (th *theatre) digest() (string, error) {
	text, err := os.ReadFile(filepath.Join(th.state, "digest"))
	if errors.Is(err, os.ErrNotExist) {
		return "d", nil
	}
	return string(text), err
}

func (th *theatre) waits(r *Run, d Drive) {
	th.Helper()
	var w *Waiting
	if err := r.Drive(th.Context(), d); !errors.As(err, &w) {
		th.Fatalf("it does not wait: %v", err)
	}
}

func (th *theatre) approve(r *Run, name string) {
	th.Helper()
	if _, about, err := r.Decide(Decide(true, who(name), time.Now())); err != nil || about.Landscape == "" || len(about.Images) != 2 || about.Source == "" {
		th.Fatalf("%+v, %v", about, err)
	}
}

// TestChangedAfterApproval: a stage that changes what was approved is the last.
func TestChangedAfterApproval(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	repository(t, th.dir)
	p := released(nil)
	p.Stages[2].Run.Command = []string{"sh", "-c", "echo built > built; echo 2 > code"}
	p.Stages = append(p.Stages, landscape.Stage{Name: "production", Deploy: "production", Timeout: time.Minute},
		landscape.Stage{Name: "after", Run: &landscape.StageRun{Command: []string{"true"}}, Timeout: time.Minute})
	r := th.begin("local", p)
	th.waits(r, Drive{})
	th.approve(r, "ann")
	err := r.Drive(t.Context(), Drive{})
	var f *Failure
	if !errors.As(err, &f) || !f.Refused || f.Stage != "after" || !strings.Contains(err.Error(), "ann approved something else: the source was") {
		t.Fatalf("got %v", err) // production went by the image, which is the same
	}
	th.waits(r, Drive{})
	th.approve(r, "bob")
	if err := r.Drive(t.Context(), Drive{}); err != nil {
		t.Error(err)
	}
	kept := must(filepath.Glob(filepath.Join(r.unitDir(Unit{Stage: 1, Title: "approve"}), "withdrawn-*.json")))
	if len(kept) != 1 || !strings.Contains(string(must(os.ReadFile(kept[0]))), `"ann"`) {
		t.Errorf("who had approved before is not kept: %v", kept)
	}
}

// TestApprovalEnds: one that is older than it may be does not count.
func TestApprovalEnds(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", released(nil))
	th.waits(r, Drive{})
	if _, _, err := r.Decide(Decide(true, who("ann"), time.Now().Add(-2*time.Hour))); err != nil {
		t.Fatal(err)
	}
	err := r.Drive(t.Context(), Drive{})
	var f *Failure
	if !errors.As(err, &f) || !f.Refused || !strings.Contains(err.Error(), "the approval of ann ended at") || ran(r) {
		t.Fatalf("got %v", err)
	}
	th.waits(r, Drive{})
	if _, _, err := r.Decide(Decide(true, who("ann"), time.Now())); err != nil {
		t.Fatal(err)
	}
	if err := r.Drive(t.Context(), Drive{}); err != nil || !ran(r) {
		t.Error(err)
	}
	if err := r.Drive(t.Context(), Drive{}); err != nil { // all is done: nothing is asked any more
		t.Error(err)
	}
}

// TestFourEyes: who began the run does not approve it, in none of the ways.
func TestFourEyes(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", released(func(s *landscape.Stage) { s.FourEyes = true }))
	if err := r.Drive(t.Context(), Drive{Approve: true, By: who("tester")}); !errors.Is(err, ErrForbidden) {
		t.Errorf("beforehand: %v", err)
	}
	th.waits(r, Drive{})
	for name, by := range map[string]Person{"own": who("tester"), "with sudo": {Name: "root", UID: 0, Login: who("tester").UID}, "as another says": said("bob").Person} {
		if _, _, err := r.Decide(Decide(true, by, time.Now())); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
	answer := Decide(true, who("tester"), time.Now())
	answer.Subject = must2(r.question(Unit{Stage: 1, Title: "approve"})).Subject.Digest()
	if err := save(r.unitFile(Unit{Stage: 1, Title: "approve"}, decisionFile(answer.Person)), answer); err != nil {
		t.Fatal(err)
	}
	th.waits(r, Drive{}) // nor does it count when it is written by hand
	if _, _, err := r.Decide(Decide(true, who("ann"), time.Now())); err != nil {
		t.Fatal(err)
	}
	if err := r.Drive(t.Context(), Drive{}); err != nil || !ran(r) {
		t.Error(err)
	}
}

func must2[T any](v T, _ bool, err error) T { return must(v, err) }

// TestTwoApprovals: of two different people; one denial is enough.
func TestTwoApprovals(t *testing.T) {
	t.Parallel()
	two := func(s *landscape.Stage) { s.Approvals = 2 }
	th := newTheatre(t)
	r := th.begin("local", released(two))
	th.waits(r, Drive{})
	decide := func(approved bool, by Person) error {
		_, _, err := r.Decide(Decide(approved, by, time.Now()))
		return err
	}
	if err := decide(true, who("ann")); err != nil {
		t.Fatal(err)
	}
	for _, by := range []Person{who("ann"), {Name: "root", UID: 0, Login: who("ann").UID}} {
		if err := decide(true, by); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "2 different people") {
			t.Errorf("%s again: %v", by, err)
		}
	}
	th.waits(r, Drive{})
	if err := decide(true, who("bob")); err != nil {
		t.Fatal(err)
	}
	if err := r.Drive(t.Context(), Drive{}); err != nil || !ran(r) {
		t.Fatal(err)
	}
	if s := must(r.State()).Stages[1].Units[0]; len(s.Approvals) != 2 || !strings.Contains(s.Reason, "ann and bob") {
		t.Errorf("%+v", s)
	}
	denied := newTheatre(t)
	r = denied.begin("local", released(two))
	denied.waits(r, Drive{})
	if err := errors.Join(decide(true, who("ann")), decide(false, who("bob"))); err != nil {
		t.Fatal(err)
	}
	if err := r.Drive(t.Context(), Drive{}); err == nil || !strings.Contains(err.Error(), "denied by bob") || ran(r) {
		t.Errorf("denied by one: %v", err)
	}
}

// TestSourceThatCannotBeRead: a working copy whose state git does not tell is an
// error, and no working copy without one.
func TestSourceThatCannotBeRead(t *testing.T) {
	t.Parallel()
	without := t.TempDir()
	unborn := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "git", "-C", unborn, "init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, dir := range []string{without, unborn} {
		if name, err := source(t.Context(), dir); name != "" || err != nil {
			t.Errorf("%q, %v", name, err)
		}
	}
	broken := t.TempDir()
	put(t, filepath.Join(broken, ".git"), "gitdir: nowhere\n")
	below := filepath.Join(broken, "below")
	if err := os.Mkdir(below, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{broken, below} {
		if name, err := source(t.Context(), dir); err == nil {
			t.Errorf("it is taken for one without a source: %q", name)
		}
	}
}
