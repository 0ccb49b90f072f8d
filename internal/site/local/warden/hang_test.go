//go:build linux

package warden_test

import (
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"godwit/internal/site/local/network"
	"godwit/internal/site/local/warden"
	"godwit/internal/testtool"
)

// TestHungInstance: one that answers nobody any more is killed and started again,
// also where the kernel accepts connections in its name. One that says that it is
// not well is left to itself.
func TestHungInstance(t *testing.T) {
	w := newWorld(t, "10.92.8")
	w.open(network.Rules{})
	byConnection := w.instance(3)
	byConnection.Health.Path = ""
	w.launch(w.instance(2), byConnection)
	sick := w.instance(4, "SICK=yes")
	if err := w.PutInstance(t.Context(), sick); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{2, 3} {
		pid, err := w.holder(n)
		if err != nil {
			t.Fatal(err)
		}
		testtool.Hang(t, pid)
	}
	for _, id := range []string{"i2", "i3"} {
		w.await(id, "started again", func(s warden.Status) bool { return s.Ready && s.Restarts == 1 })
	}
	if s := w.await("i4", "seen", func(warden.Status) bool { return true }); s.Restarts != 0 || !strings.Contains(s.Reason, "500") {
		t.Errorf("one that is not well: %+v", s)
	}
}

// TestHungWarden: a warden that is stopped is said not to answer, in time, by each
// question, and can be ended.
func TestHungWarden(t *testing.T) {
	w := newWorld(t, "10.92.9")
	pid, err := warden.Pid(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	testtool.Hang(t, pid)
	var asking sync.WaitGroup
	for name, ask := range map[string]func() error{
		"status":    func() error { _, err := w.Status(t.Context()); return err },
		"instances": func() error { _, err := w.Instances(t.Context()); return err },
		"shutdown":  func() error { return w.Shutdown(t.Context()) },
	} {
		asking.Go(func() {
			if err := ask(); !errors.Is(err, warden.ErrSilent) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	asking.Wait()
	if err := warden.Kill(t.Context(), w.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Status(t.Context()); !errors.Is(err, warden.ErrNotRunning) {
		t.Errorf("killed: %v", err)
	}
}

// TestIdleConnections: two thousand that say nothing keep nobody from asking.
func TestIdleConnections(t *testing.T) {
	w := newWorld(t, "10.92.10")
	for range 2000 {
		c, err := net.Dial("unix", warden.ControlSocket(w.dir))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, err := w.Instances(t.Context()); err != nil {
		t.Error(err)
	}
}
