//go:build unix

package lockfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hold names the path that a child of this test locks; how, what it does then.
const hold, how = "LOCKFILE_TEST_HOLD", "LOCKFILE_TEST_HOW"

func TestMain(m *testing.M) {
	path := os.Getenv(hold)
	if path == "" {
		os.Exit(m.Run())
	}
	l, err := Try(path, Alone)
	if err == nil && os.Getenv(how) == "sign" {
		err = l.Sign(fmt.Sprintf("pid %d\n", os.Getpid()))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	select {} // until it is killed
}

// elsewhere holds the lock in another process.
func elsewhere(t *testing.T, path, what string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), hold+"="+path, how+"="+what)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	said := make([]byte, 100)
	if n, err := out.Read(said); err != nil || string(said[:n]) != "held\n" {
		t.Fatalf("it said %q, %v", said[:n], err)
	}
	return cmd
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may have ended by itself
	_ = cmd.Wait()         // it was killed
}

func places(t *testing.T) map[string]string {
	dir := t.TempDir()
	return map[string]string{"file": filepath.Join(dir, "lock"), "directory": dir}
}

// TestKilled: the lock of a process ends with it, and until then nobody has it.
func TestKilled(t *testing.T) {
	t.Parallel()
	for name, path := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := elsewhere(t, path, "")
			for _, kind := range []Kind{Alone, Shared} {
				if _, err := Try(path, kind); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), path) {
					t.Errorf("kind %d, while another has it: %v", kind, err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := Wait(ctx, path, Alone); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), path+", which another process holds") {
				t.Errorf("waiting for it: %v", err)
			}
			kill(other)
			l, err := Wait(t.Context(), path, Alone)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWaitEnds: a wait ends with its context, before it began too; what it did
// not get it does not hold.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	l := must(Try(path, Alone))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := Wait(ctx, path, Shared)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
	if _, err := Wait(ctx, path, Alone); !errors.Is(err, context.Canceled) {
		t.Errorf("the context has ended: %v", err)
	}
	if _, err := Try(path, Alone); err != nil {
		t.Errorf("nobody has it: %v", err)
	}
}

func must(l *Lock, err error) *Lock {
	if err != nil {
		panic(err)
	}
	return l
}

// TestShared: those who share it keep away who wants it alone, until the last one
// has let go.
func TestShared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, second := must(Try(path, Shared)), must(Try(path, Shared))
	for _, l := range []*Lock{first, second} {
		if _, err := Try(path, Alone); !errors.Is(err, ErrHeld) {
			t.Errorf("alone beside others: %v", err)
		}
		if err := l.Unlock(); err != nil {
			t.Error(err)
		}
	}
	must(Try(path, Alone))
}

// TestAlone: of many goroutines one at a time has it.
func TestAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	var inside, most atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			l, err := Wait(t.Context(), path, Alone)
			if err != nil {
				t.Error(err)
				return
			}
			if n := inside.Add(1); n > 1 {
				most.Store(n)
			}
			runtime.Gosched() // others had better not come in here
			inside.Add(-1)
			if err := l.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > 1 {
		t.Errorf("%d at once", n)
	}
}

// TestReplaced: the lock of a file that was removed while somebody waited for it
// is not taken for that of the file that is there now.
func TestReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	old := must(Try(path, Alone))
	f, err := open(path) // what a waiter has opened
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := old.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := take(f, Alone); !errors.Is(err, errReplaced) {
		t.Errorf("nothing is there: %v", err)
	}
	must(Try(path, Alone))
	if err := take(f, Alone); !errors.Is(err, errReplaced) {
		t.Errorf("another is there: %v", err)
	}
}

// TestHolder names who has the lock; a shorter text leaves nothing of a longer one.
func TestHolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	if who := Holder(path); who != "" {
		t.Errorf("nobody was there, and it is %q", who)
	}
	other := elsewhere(t, path, "sign")
	if who, want := Holder(path), fmt.Sprintf("pid %d", other.Process.Pid); who != want {
		t.Errorf("held by %q, not %q", who, want)
	}
	kill(other)
	l := must(Wait(t.Context(), path, Alone))
	for _, text := range []string{strings.Repeat("x", 3*longestText), "me"} {
		if err := l.Sign(text); err != nil {
			t.Fatal(err)
		}
		if who := Holder(path); who != text[:min(len(text), longestText)] {
			t.Errorf("signed %.10q of %d: %.10q of %d", text, len(text), who, len(who))
		}
	}
}

// TestInherited: a program that was given the lock keeps it when it is let go of,
// and not when it is freed.
func TestInherited(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		give func(*Lock) error
		held bool
	}{"closed": {(*Lock).Close, true}, "unlocked": {(*Lock).Unlock, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "lock")
			l := must(Try(path, Alone))
			program := exec.Command("cat")
			stdin, err := program.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			program.ExtraFiles = []*os.File{l.File()}
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			if err := c.give(l); err != nil {
				t.Error(err)
			}
			got, err := Try(path, Alone)
			if errors.Is(err, ErrHeld) != c.held {
				t.Errorf("while the program runs: %v", err)
			}
			if err := errors.Join(stdin.Close(), program.Wait()); err != nil {
				t.Error(err)
			}
			if got == nil {
				got = must(Wait(t.Context(), path, Alone))
			}
			if err := got.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNoPlace: what cannot be a lock is said at once, with the path.
func TestNoPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nowhere", "lock")
	for _, f := range []func() (*Lock, error){
		func() (*Lock, error) { return Try(path, Alone) },
		func() (*Lock, error) { return Wait(t.Context(), path, Alone) },
	} {
		if _, err := f(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	}
}
