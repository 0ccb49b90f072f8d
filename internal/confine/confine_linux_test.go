package confine

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is also the gateway and the relay of the tests: first with all rights,
// then, executed once more, without.
func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv("CONFINE_TEST"); ok {
		if len(os.Args) > 1 && os.Args[1] == "confined" {
			try(dir)
			os.Exit(0)
		}
		id, _ := strconv.Atoi(os.Getenv("CONFINE_TEST_ID"))
		args := []string{"godwit", "confined"}
		if port, isRelay := os.LookupEnv("CONFINE_TEST_PORT"); isRelay {
			n, _ := strconv.ParseUint(port, 10, 16)
			fmt.Println(os.Chdir(dir), Relay(id, []uint16{uint16(n)}, args))
		} else {
			fmt.Println(os.Chdir(dir), Gateway(id, "own", nil, args))
		}
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
	say("root", syscall.Setuid(0))
	if port, isRelay := os.LookupEnv("CONFINE_TEST_PORT"); isRelay {
		tryNetwork(say, port)
	}
}

// tryNetwork says what a relay can do with the network.
func tryNetwork(say func(string, error), port string) {
	_, err := net.Dial("tcp", "127.0.0.1:"+port)
	say("connect to the source", err)
	_, err = net.Dial("tcp", os.Getenv("CONFINE_TEST_OTHER"))
	say("connect elsewhere", err)
	_, err = net.Listen("tcp", "127.0.0.1:0")
	say("listen", err)
	_, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG)
	say("ask for sockets", err)
	_, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
	say("ask for rules", err)
	say("signal", syscall.Kill(os.Getppid(), 0))
}

// TestGateway: what faces clients changes its own files and no others, reads what
// every program reads, and not even what all may read of the rest.
func TestGateway(t *testing.T) {
	t.Parallel()
	judge(t, confined(t), 12, "write own", "rename own", "read own", "read /etc/hosts")
}

// TestRelay: a relay changes no file, and its network is the source's port.
func TestRelay(t *testing.T) {
	t.Parallel()
	source, other := listen(t), listen(t)
	_, port, _ := net.SplitHostPort(source)
	judge(t, confined(t, "CONFINE_TEST_PORT="+port, "CONFINE_TEST_OTHER="+other), 18, "read /etc/hosts", "connect to the source", "ask for sockets")
}

func listen(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// confined is what a process that is confined says of what it tried.
func confined(t *testing.T, env ...string) string {
	t.Helper()
	if version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 || version < landlockScoped {
		t.Fatalf("this kernel has no Landlock that knows truncation, ports and signals: version %d, %v", version, errno)
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
	cmd.Env = append([]string{"CONFINE_TEST=" + dir, "CONFINE_TEST_ID=" + strconv.Itoa(id)}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// judge: what was tried failed for want of a right, but for what is allowed.
func judge(t *testing.T, out string, tried int, allowed ...string) {
	t.Helper()
	for line := range strings.Lines(out) {
		what, got, _ := strings.Cut(strings.TrimSpace(line), ": ")
		denied := strings.Contains(got, "not permitted") || strings.Contains(got, "permission denied") || strings.Contains(got, "not supported")
		switch {
		case slices.Contains(allowed, what) && got != "<nil>":
			t.Errorf("%s: %s", what, got)
		case what == "rename own" || what == "read own": // follows from the first
		case !slices.Contains(allowed, what) && !denied:
			t.Errorf("%s: %s", what, got)
		}
	}
	if n := strings.Count(out, "\n"); n != tried {
		t.Errorf("%d things were tried, not %d:\n%s", n, tried, out)
	}
}
