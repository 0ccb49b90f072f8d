package confine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is also the gateway of TestGateway: first with all rights, then, executed
// once more, without.
func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv("CONFINE_TEST"); ok {
		if len(os.Args) > 1 && os.Args[1] == "confined" {
			try(dir)
			os.Exit(0)
		}
		id, _ := strconv.Atoi(os.Getenv("CONFINE_TEST_ID"))
		fmt.Println(os.Chdir(dir), Gateway(id, "own", nil, []string{"gateway", "confined"}))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// try says what can be done in there.
func try(dir string) {
	say := func(what string, err error) { fmt.Printf("%s: %v\n", what, err) }
	say("write own", os.WriteFile("own/new", []byte("x"), 0o600))
	say("rename own", os.Rename("own/new", "own/table"))
	_, err := os.ReadFile("own/table")
	say("read own", err)
	_, err = os.ReadFile("/etc/hosts")
	say("read /etc/hosts", err)
	_, err = os.ReadFile("open-to-all")
	say("read outside", err)
	say("write outside", os.WriteFile("for-all/new", nil, 0o600))
	say("truncate outside", os.Truncate("open-to-all", 0))
	_, err = os.ReadDir(".")
	say("list outside", err)
	say("mount", unix.Mount("none", "own", "tmpfs", 0, ""))
	say("namespace", unix.Unshare(unix.CLONE_NEWUSER))
	_, err = unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	say("hypervisor", err)
	if os.Getenv("CONFINE_TEST_ID") != "" {
		say("root", syscall.Setuid(0))
	}
}

// TestGateway: what faces clients changes its own files and no others, reads what
// every program reads, and not even what all may read of the rest.
func TestGateway(t *testing.T) {
	t.Parallel()
	if version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 || version < 3 {
		t.Fatalf("this kernel has no Landlock that knows truncation: version %d, %v", version, errno)
	}
	dir, err := os.MkdirTemp("", "confine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	id := GatewayID(dir)
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "own"), 0o700), os.Chown(filepath.Join(dir, "own"), id, -1),
		os.Mkdir(filepath.Join(dir, "for-all"), 0o777), os.Chmod(filepath.Join(dir, "for-all"), 0o777),
		os.WriteFile(filepath.Join(dir, "open-to-all"), []byte("secret"), 0o666), os.Chmod(filepath.Join(dir, "open-to-all"), 0o666))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"CONFINE_TEST=" + dir, "CONFINE_TEST_ID=" + strconv.Itoa(id)}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := map[string]string{"write own": "<nil>", "rename own": "<nil>", "read own": "<nil>", "read /etc/hosts": "<nil>"}
	for line := range strings.Lines(string(out)) {
		what, got, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if fine := want[what]; fine != "" && got != fine || fine == "" && !strings.Contains(got, "not permitted") && !strings.Contains(got, "permission denied") && !strings.Contains(got, "not supported") {
			t.Errorf("%s: %s", what, got)
		}
	}
	if n := strings.Count(string(out), "\n"); n != 12 {
		t.Errorf("%d things were tried:\n%s", n, out)
	}
}
