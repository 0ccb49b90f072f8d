package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"godwit/internal/store"
)

// full is a disk, with a journal on it, that can be filled to its last byte.
type full struct {
	t      *testing.T
	dir    string
	book   *store.Store
	filled bool
}

func newFull(t *testing.T) *full {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts a small disk")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	book, err := store.Open(filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { book.Close() })
	return &full{t: t, dir: dir, book: book}
}

// fill leaves no byte, the first time.
func (f *full) fill(context.Context, *Notes) error {
	if f.filled {
		return nil
	}
	f.filled = true
	file, err := os.Create(filepath.Join(f.dir, "filler"))
	if err != nil {
		return err
	}
	defer file.Close()
	for size := 64 << 10; size > 0; size /= 2 {
		for err == nil {
			_, err = file.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			return err
		}
		err = nil
		if size == 1 {
			return nil
		}
	}
	return nil
}

func (f *full) empty() {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.dir, "filler")); err != nil {
		f.t.Fatal(err)
	}
}

// TestFullDisk: what cannot be written down is not begun; what was begun is taken
// back, also where that cannot be written down until there is room again.
func TestFullDisk(t *testing.T) {
	f := newFull(t)
	j := Open(f.book)
	j.Limits.Undo, j.Limits.Pause = 200*time.Millisecond, time.Millisecond
	var tr trace
	steps := []Step{tr.step("fills", f.fill), tr.step("next", nil)}
	outcome, err := j.Run(t.Context(), Run{ID: "1", Kind: "k"}, steps, nil)
	if outcome.Status != Stuck || !errors.As(err, new(*Failure)) {
		t.Fatalf("%+v, %v", outcome, err)
	}
	tr.want(t, "do fills", "undo fills")

	tr.calls = nil
	outcome, err = j.Run(t.Context(), Run{ID: "2", Kind: "k"}, []Step{tr.step("a", nil)}, nil)
	if err == nil || outcome.Status != "" {
		t.Errorf("begun on a full disk: %+v, %v", outcome, err)
	}
	tr.want(t)

	f.empty()
	outcome, _ = j.Resume(t.Context(), Run{ID: "1", Kind: "k"}, steps, nil)
	if outcome.Status != Undone {
		t.Errorf("with room again: %+v", outcome)
	}
	if outcome, err = j.Run(t.Context(), Run{ID: "2", Kind: "k"}, []Step{tr.step("a", nil)}, nil); err != nil {
		t.Errorf("with room again: %+v, %v", outcome, err)
	}
}

// TestFullDiskPastTheReturn: what can only be finished is, without being written
// down; the end is when there is room.
func TestFullDiskPastTheReturn(t *testing.T) {
	f := newFull(t)
	j := Open(f.book)
	j.Limits.Undo, j.Limits.Pause = 200*time.Millisecond, time.Millisecond
	var tr trace
	steps := []Step{noReturn(tr.step("fills", f.fill)), tr.step("next", nil), tr.step("last", nil)}
	outcome, err := j.Run(t.Context(), Run{ID: "1", Kind: "k"}, steps, nil)
	if outcome.Status != Stuck || err == nil {
		t.Errorf("its end is written where nothing can be: %+v, %v", outcome, err)
	}
	tr.want(t, "do fills", "do next", "do last")
	f.empty()
	if outcome, err = j.Resume(t.Context(), Run{ID: "1", Kind: "k"}, steps, nil); outcome.Status != Done || err != nil {
		t.Errorf("with room again: %+v, %v", outcome, err)
	}
}
