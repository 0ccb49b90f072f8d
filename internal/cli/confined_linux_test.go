package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"godwit/internal/confine"
	"godwit/internal/watch"
)

// TestGatewayConfined: the process that faces clients has ids of its own, no
// capability and no way to get one, a filter of system calls, and nothing of its
// caller's environment; it serves, and keeps its table, over a kill too. No file
// of the state directory but its own can be opened by its ids.
func TestGatewayConfined(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-for-clients")
	w := newWatched(t)
	for _, round := range []string{"first", "after a kill"} {
		pid := w.all()[watch.Gateway]
		status := read(t, pid, "status")
		id := fmt.Sprint(confine.GatewayID(w.state))
		for _, want := range []string{
			"\nUid:\t" + strings.Join([]string{id, id, id, id}, "\t"), "\nCapEff:\t0000000000000000", "\nCapPrm:\t0000000000000000",
			"\nCapInh:\t0000000000000000", "\nNoNewPrivs:\t1", "\nSeccomp:\t2",
		} {
			if !strings.Contains(status, want+"\n") {
				t.Errorf("%s: the gateway has not %q:\n%s", round, want, status)
			}
		}
		if os.Geteuid() == 0 && (id == "0" || !strings.Contains(status, "\nGroups:\t \n") || !strings.Contains(status, "\nCapBnd:\t0000000000000000\n")) {
			t.Errorf("%s: it is root, or could become it:\n%s", round, status)
		}
		if environ := read(t, pid, "environ"); strings.Contains(environ, "not-for-clients") || strings.Contains(environ, "PATH=") {
			t.Errorf("%s: its environment is the caller's: %q", round, strings.Split(environ, "\x00"))
		}
		l := w.load()
		w.runs(l)
		if n, lost := l.end(); len(lost) > 0 {
			t.Errorf("%s: %d of %d requests failed: %v", round, len(lost), n, lost[0].why)
		}
		w.do("up", w.landscape) // it saves what it is told
		w.kill(syscall.SIGKILL, watch.Gateway)
	}
	if os.Geteuid() == 0 {
		w.closedTo(uint32(confine.GatewayID(w.state)))
	}
}

func read(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b)) + "\n"
}

// closedTo looks at every file of the state directory with the eyes of an id.
func (w *watched) closedTo(id uint32) {
	w.Helper()
	seen := 0
	w.ok(filepath.WalkDir(w.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		if path == w.GatewayDir() {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return nil // it is gone
		}
		at, mode := info.Sys().(*syscall.Stat_t), info.Mode().Perm()
		mine := mode & 0o007
		switch {
		case at.Uid == id:
			mine = mode >> 6
		case at.Gid == id:
			mine = mode >> 3 & 0o007
		}
		seen++
		door := strings.HasPrefix(path, filepath.Join(w.state, "env", "w")) && filepath.Base(path) == "door.sock"
		if d.IsDir() && mine&0o006 == 0 || door {
			if d.IsDir() && mine == 0 {
				return filepath.SkipDir // nor what is in it
			}
			return nil
		}
		if rest, _ := filepath.Rel(w.state, path); mine&0o002 != 0 || strings.HasSuffix(path, ".db") && mine != 0 || strings.HasSuffix(path, ".sock") && mine != 0 {
			w.Errorf("the gateway's ids may do %03o with %s", mine, rest)
		}
		return nil
	}))
	if seen < 10 {
		w.Errorf("only %d files were seen", seen)
	}
}
