package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"godwit/internal/watch"
)

// TestFullDisk: with no byte left in the state directory a killed gateway and a
// killed engine start from what is there, and serve. When there is room again,
// everything works.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs a file system of its own: run as root")
	}
	var mounted string
	t.Cleanup(func() { // after newWatched's
		if mounted != "" {
			if err := unix.Unmount(mounted, 0); err != nil && !errors.Is(err, unix.EINVAL) {
				t.Error("unmount: ", err)
			}
		}
	})
	w := newWatched(t, func(state string) {
		if err := unix.Mount("full", state, "tmpfs", 0, "size=256m,mode=0711"); err != nil {
			t.Fatal(err)
		}
		mounted = state
	})
	filler := filepath.Join(w.state, "filler")
	fill(t, filler)
	w.startFromWhatIsThere()
	w.ok(os.Remove(filler))
	w.do("up", w.landscape)
}

// startFromWhatIsThere kills processes on a disk that takes nothing more: each comes back,
// clients are served, and status shows it all.
func (w *watched) startFromWhatIsThere() {
	w.Helper()
	for _, roles := range [][]watch.Role{{watch.Gateway}, {watch.Engine}, {watch.Engine, watch.Gateway}, {watch.First, watch.Second}, {watch.Engine, watch.First}} {
		l := w.load()
		w.runs(l)
		dead := w.kill(syscall.SIGKILL, roles...)
		w.all()
		if out := w.do("status"); !strings.Contains(out, "2 of 2 ready") || !strings.Contains(out, " ready\n") {
			w.Errorf("after %v: %s", roles, out)
		}
		n, lost := l.end()
		w.Logf("%v killed: %d requests, %d failed", roles, n, len(lost))
		for _, f := range lost {
			if f.began.After(dead) {
				w.Errorf("%v: a request failed that began after the gateway was dead: %v", roles, f.why)
			}
		}
	}
}

// fill takes what is left of a file system.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}
