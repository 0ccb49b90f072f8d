package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"godwit/internal/site/local/warden"
)

// TestReadOnlyDisk: on a disk that is read-only nothing is started, and the command
// says so.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a disk read-only")
	}
	dir := t.TempDir()
	script := `mount -t tmpfs none "$1" && mkdir -m 711 "$1/s" && mount -o remount,ro "$1" && exec "$2" up "$3" --state "$1/s"`
	out, err := exec.Command("unshare", "--mount", "sh", "-c", script, "sh", dir, binary, "testdata/watched").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "read-only file system; mount the disk writable") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestDiskTurnsReadOnly: the kernel makes a file system read-only under everything
// that runs, as it does when the disk fails. A killed gateway and a killed engine
// start from what is there, and serve.
func TestDiskTurnsReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs a file system of its own: run as root")
	}
	disk := filepath.Join(t.TempDir(), "disk")
	program(t, "truncate", "-s", "256M", disk)
	if out, err := exec.Command("sh", "-c", `mkfs.ext4 -q "$1" && mkdir "$1.d" && mount -o loop "$1" "$1.d" && umount "$1.d"`, "sh", disk).CombinedOutput(); err != nil {
		t.Skipf("no file system can be made and mounted here: %v %s", err, out)
	}
	w := newWatched(t, func(state string) {
		program(t, "mount", "-o", "loop", disk, state)
		program(t, "chmod", "711", state)
		// Before newWatched's: down would want to write.
		t.Cleanup(func() { program(t, "umount", "--lazy", state) })
	})
	t.Cleanup(w.killAll)
	program(t, "mount", "-o", "remount,abort", w.state)
	if err := os.WriteFile(filepath.Join(w.state, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Fatalf("the disk is not read-only: %v", err)
	}
	if out, err := w.command(t.Context(), "up", w.landscape).CombinedOutput(); err == nil || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("up: %v\n%s", err, out)
	}
	w.startFromWhatIsThere()
}

// killAll leaves none of its processes: no command ends them on such a disk.
func (w *watched) killAll() {
	w.Helper()
	supervisor, err := warden.Pid(filepath.Join(w.state, "env", "w", "production"))
	w.ok(err)
	w.until("all are dead", func() error {
		pids := append(processesOf(w.state), supervisor) // whose command line names no directory
		left := 0
		for _, pid := range pids {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				left++
			}
		}
		if left > 0 {
			return fmt.Errorf("%d of %v were alive", left, pids)
		}
		return nil
	})
}

func program(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
