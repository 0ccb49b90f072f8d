package cli

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"godwit/internal/watch"
)

// watchers are all that start others again.
var watchers = []watch.Role{watch.Engine, watch.First, watch.Second}

// killWatchers kills all of them at one instant: none is left to start the others.
func (w *watched) killWatchers() {
	w.Helper()
	pids := w.all()
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, r := range watchers {
			w.ok(syscall.Kill(pids[r], signal))
		}
	}
	for _, r := range watchers {
		w.until(string(r)+" is dead", func() error {
			if w.Pid(r) == pids[r] {
				return fmt.Errorf("%d is still there", pids[r])
			}
			return nil
		})
	}
}

// TestAllWatchersKilled: clients are served as if nothing had been; the next command
// starts all three again, and what they watch is watched as before.
func TestAllWatchersKilled(t *testing.T) {
	w := newWatched(t)
	gateway := w.Pid(watch.Gateway)
	l := w.load()
	w.runs(l)
	w.killWatchers()
	w.runs(l)
	if n, lost := l.end(); len(lost) > 0 {
		t.Errorf("%d of %d requests failed, and the gateway lived: %v", len(lost), n, lost[0].why)
	}
	if now := w.Pid(watch.Gateway); now != gateway {
		t.Errorf("the gateway was %d and is %d", gateway, now)
	}
	w.do("status")
	w.all()
	w.kill(syscall.SIGKILL, watch.Gateway)
	l = w.load()
	w.runs(l)
	if n, lost := l.end(); len(lost) > 0 {
		t.Errorf("%d of %d requests failed once a gateway was back: %v", len(lost), n, lost[0].why)
	}
}

// TestUnitOutlivesAllWatchers: the process of the unit, which waits while another
// engine runs, takes its place and starts the others; nobody types a command.
func TestUnitOutlivesAllWatchers(t *testing.T) {
	w := newWatched(t)
	unit := w.command(t.Context(), "engine", "--stand-by", "--state", w.state)
	log := &spoken{}
	unit.Stdout, unit.Stderr = log, log
	w.ok(unit.Start())
	w.until("the unit's process stands by", func() error { return log.says("standing by") })
	w.killWatchers()
	if now := w.all()[watch.Engine]; now != unit.Process.Pid {
		t.Errorf("the engine is %d, the unit's process is %d", now, unit.Process.Pid)
	}
	w.do("down", "--approve")
	if err := unit.Wait(); err != nil {
		t.Errorf("down ends the unit's process: %v", err)
	}
}

// spoken collects what a process writes, so that a test can wait for a word.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// says is an error until a word has been written.
func (s *spoken) says(word string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.Contains(s.text.String(), word) {
		return fmt.Errorf("it said %q", s.text.String())
	}
	return nil
}
