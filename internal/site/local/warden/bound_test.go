//go:build linux

package warden_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"godwit/internal/site/local/network"
	"godwit/internal/site/local/warden"
)

// TestMemoryBomb: who takes more than the environment may have is ended; its
// neighbour, the warden and the machine go on.
func TestMemoryBomb(t *testing.T) {
	w := newWorld(t, "10.91.4")
	err := warden.Bound(w.dir, warden.Bounds{Memory: 768 << 20, Processes: 543}) // with the race detector, the warden and two guests are a third of it
	if errors.Is(err, warden.ErrUnbound) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.open(network.Rules{})
	bomb, neighbour := w.instance(2), w.instance(3)
	bomb.Spec.OOMScore, neighbour.Spec.OOMScore = 500, 500 // as the site has it
	w.launch(bomb, neighbour)
	if _, err := w.get(2, "/eat"); err == nil {
		t.Error("it could eat as much as it wanted")
	}
	s := w.await("i2", "ready again", func(s warden.Status) bool { return s.Ready && s.Restarts > 0 })
	t.Logf("%+v", s)
	// The kernel may look for a second one before the memory of the first is
	// free: the neighbour may be ended as well, the warden never.
	w.await("i3", "ready", func(s warden.Status) bool { return s.Ready })
	if got := w.must(3, "/"); got != "i3" {
		t.Errorf("the neighbour says %q", got)
	}
	group := groupOf(t, "pids")
	elsewhere(t, group) // who removes it may be in another group than who made it
	unbound := warden.Unbound(w.dir)
	if err := warden.Kill(t.Context(), w.dir); err != nil {
		t.Fatal(err)
	}
	for range 2 { // there is nothing left to remove the second time
		if err := unbound(t.Context()); err != nil {
			t.Error(err)
		}
	}
	left, _ := filepath.Glob(filepath.Join(group, "godwit-*", "pids.max"))
	for _, l := range left {
		if text, _ := os.ReadFile(l); string(text) == "543\n" {
			t.Errorf("left: %s", l)
		}
	}
}

func groupOf(t *testing.T, controller string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); f[1] == controller {
			return "/sys/fs/cgroup/" + controller + f[2]
		}
	}
	t.Skipf("no control groups of version 1 for %s", controller)
	return ""
}

// elsewhere puts this process into a group below its own, until the test ends.
func elsewhere(t *testing.T, group string) {
	t.Helper()
	below, self := filepath.Join(group, "elsewhere-"+strconv.Itoa(os.Getpid())), []byte(strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(os.WriteFile(group+"/cgroup.procs", self, 0), os.Remove(below)); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(below+"/cgroup.procs", self, 0); err != nil {
		t.Fatal(err)
	}
}
