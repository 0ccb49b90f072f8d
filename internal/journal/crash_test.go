package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"godwit/internal/store"
)

// The child that is killed learns from its environment what to do.
const (
	crashDir  = "JOURNAL_CRASH_DIR"
	crashList = "JOURNAL_CRASH_LIST"
	crashAt   = "JOURNAL_CRASH_AT"
)

// Exit statuses of the child.
const (
	exitDone   = 0
	exitBroken = 1
	exitUndone = 10
)

// mortal is the life of a child: it kills itself at its n-th hook.
type mortal struct {
	dir       string
	hooks, at int
}

func (m *mortal) hook() {
	if m.hooks++; m.hooks == m.at {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}

// mortalBook may be killed before and after every write.
type mortalBook struct {
	Book
	life *mortal
}

func (b mortalBook) AddRun(ctx context.Context, r store.Run) error {
	b.life.hook()
	defer b.life.hook()
	return b.Book.AddRun(ctx, r)
}

func (b mortalBook) SaveRun(ctx context.Context, r store.Run, steps ...int) error {
	b.life.hook()
	defer b.life.hook()
	return b.Book.SaveRun(ctx, r, steps...)
}

// lists are what the children run: "!" the step fails, "*" it is the point of
// no return.
var lists = map[string][]string{
	"good":        {"a", "b", "c*", "d"},
	"refused":     {"a", "b", "c!", "d*"},
	"no way back": {"a*", "b", "c"},
	"no point":    {"a", "b", "c"},
}

// steps have two effects each, so that a step can be half done.
func (m *mortal) steps(list string) []Step {
	var steps []Step
	for _, name := range lists[list] {
		bad := strings.Contains(name, "!")
		steps = append(steps, Step{Name: name, PointOfNoReturn: strings.Contains(name, "*"),
			Do: func(context.Context, *Notes) error {
				m.hook()
				err := errors.Join(m.log("do "+name), m.make(name+".1"))
				m.hook()
				if bad {
					return errors.Join(err, errBroken)
				}
				err = errors.Join(err, m.make(name+".2"))
				m.hook()
				return err
			},
			Undo: func(context.Context, *Notes) error {
				m.hook()
				err := errors.Join(m.log("undo "+name), m.remove(name+".2"))
				m.hook()
				err = errors.Join(err, m.remove(name+".1"))
				m.hook()
				return err
			}})
	}
	return steps
}

func (m *mortal) log(line string) error {
	file, err := os.OpenFile(filepath.Join(m.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line + "\n")
	return errors.Join(err, file.Sync(), file.Close())
}

func (m *mortal) make(name string) error {
	return os.WriteFile(filepath.Join(m.dir, "effect-"+name), nil, 0o600)
}

func (m *mortal) remove(name string) error {
	err := os.Remove(filepath.Join(m.dir, "effect-"+name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// crashChild is a process that runs a list, or resumes it when the journal
// knows it already, as an engine does that starts.
func crashChild(dir string) int {
	at, _ := strconv.Atoi(os.Getenv(crashAt))
	life := &mortal{dir: dir, at: at}
	list := os.Getenv(crashList)
	book, err := store.Open(filepath.Join(dir, "store.db"))
	if err != nil {
		fmt.Println(err)
		return exitBroken
	}
	defer book.Close()
	j, run, ctx := Open(mortalBook{book, life}), Run{ID: "1", Kind: "crash", Subject: list}, context.Background()
	var out Outcome
	if _, err = book.Run(ctx, run.ID); errors.Is(err, store.ErrNotFound) {
		out, err = j.Run(ctx, run, life.steps(list), nil)
	} else {
		out, err = j.Resume(ctx, run, life.steps(list), nil)
	}
	switch out.Status {
	case Done:
		return exitDone
	case Undone:
		return exitUndone
	}
	fmt.Println(out, err)
	return exitBroken
}

// live starts a child; killed says that it died at its hook.
func live(t *testing.T, dir, list string, at int) (status int, killed bool) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+dir, crashList+"="+list, crashAt+"="+strconv.Itoa(at))
	out, err := child.CombinedOutput()
	wait, ok := child.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatal(err)
	}
	if wait.Signaled() && wait.Signal() == syscall.SIGKILL {
		return 0, true
	}
	if wait.ExitStatus() == exitBroken || wait.Signaled() {
		t.Fatalf("%s, killed at hook %d: %v\n%s", list, at, err, out)
	}
	return wait.ExitStatus(), false
}

// TestKilledAnywhere kills the engine at every hook, its successor at every
// hook of the resumption, and lets a third one bring it to its end. Every fourth pair
// is tried, another fourth for each first one; GODWIT_SOAK=1 tries all of them.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	stride := 4
	if os.Getenv("GODWIT_SOAK") != "" {
		stride = 1
	}
	empty := emptyStore(t)
	for list := range lists {
		t.Run(list, func(t *testing.T) {
			t.Parallel()
			killed := 0
			for first, alive := 1, false; !alive; first++ {
				for second := 1 + first%stride; ; second += stride {
					dir := t.TempDir()
					if err := os.WriteFile(filepath.Join(dir, "store.db"), empty, 0o600); err != nil {
						t.Fatal(err)
					}
					_, died := live(t, dir, list, first)
					if !died {
						alive = true
					} else {
						killed++
					}
					_, died = live(t, dir, list, second)
					status, _ := live(t, dir, list, 0)
					verify(t, dir, list, status, fmt.Sprintf("killed at %d, then at %d", first, second))
					if !died || alive {
						break
					}
				}
			}
			if killed < 10 {
				t.Errorf("only %d kills: the hooks are not reached", killed)
			}
		})
	}
}

// emptyStore is a new store's file: most of a child's life would be to make it.
func emptyStore(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// verify looks at what is left: all or nothing, and nothing taken back after
// the point of no return.
func verify(t *testing.T, dir, list string, status int, when string) {
	t.Helper()
	effects, err := filepath.Glob(filepath.Join(dir, "effect-*"))
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	if status == exitDone {
		want = 2 * len(lists[list])
	}
	if len(effects) != want {
		t.Errorf("%s: status %d with effects %q", when, status, effects)
	}
	if list == "refused" && status == exitDone {
		t.Errorf("%s: done in spite of the failed step", when)
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	committed := false
	for line := range strings.Lines(string(log)) {
		committed = committed || strings.HasPrefix(line, "do ") && strings.Contains(line, "*")
		if committed && strings.HasPrefix(line, "undo ") {
			t.Errorf("%s: %q after the point of no return:\n%s", when, line, log)
		}
	}
	if committed && status != exitDone {
		t.Errorf("%s: past the point of no return and not done:\n%s", when, log)
	}
}
