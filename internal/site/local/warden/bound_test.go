//go:build linux

package warden_test

import (
	"errors"
	"testing"

	"godwit/internal/site/local/network"
	"godwit/internal/site/local/warden"
)

// TestMemoryBomb: who takes more than the environment may have is ended; its
// neighbour, the warden and the machine go on.
func TestMemoryBomb(t *testing.T) {
	w := newWorld(t, "10.91.4")
	err := warden.Bound(w.dir, warden.Bounds{Memory: 192 << 20, Processes: 500})
	if errors.Is(err, warden.ErrUnbound) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.open(network.Rules{})
	w.launch(w.instance(2), w.instance(3))
	if _, err := w.get(2, "/eat"); err == nil {
		t.Error("it could eat as much as it wanted")
	}
	s := w.await("i2", "ready again", func(s warden.Status) bool { return s.Ready && s.Restarts > 0 })
	t.Logf("%+v", s)
	if got := w.must(3, "/"); got != "i3" {
		t.Errorf("the neighbour says %q", got)
	}
	if s := w.await("i3", "seen", func(warden.Status) bool { return true }); s.Restarts != 0 {
		t.Errorf("the neighbour was ended: %+v", s)
	}
	if err := warden.Kill(t.Context(), w.dir); err != nil {
		t.Fatal(err)
	}
	for range 2 { // there is nothing left to remove the second time
		if err := warden.Unbound(t.Context(), w.dir); err != nil {
			t.Error(err)
		}
	}
}
