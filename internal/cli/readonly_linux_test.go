package cli

import (
	"os"
	"os/exec"
	"strings"
	"testing"
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
