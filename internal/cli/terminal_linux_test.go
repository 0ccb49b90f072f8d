package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal runs godwit with a real terminal and returns what that shows.
func terminal(t *testing.T, env []string, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "GODWIT_STATE="+filepath.Join(t.TempDir(), "none"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var shown bytes.Buffer
	if _, err := io.Copy(&shown, master); err != nil && !errors.Is(err, syscall.EIO) { // EIO: the last one has closed it
		t.Fatal(err)
	}
	_ = cmd.Wait() // some of them fail on purpose
	return shown.String()
}

// TestTerminal: colours where a terminal shows them, and only there.
func TestTerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "landscape \"x\" {}\nenvironment \"test\" {\n  network = \"10.10.0.0/16\"\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "landscape.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const escape = "\x1b["
	for _, c := range []struct {
		name   string
		env    []string
		args   []string
		says   string
		colour bool
	}{
		{"error", []string{"TERM=xterm"}, []string{"status"}, "no engine is running", true},
		{"finding", []string{"TERM=xterm"}, []string{"validate", "/nowhere"}, "mend:", true},
		{"plan", []string{"TERM=xterm"}, []string{"plan", dir}, "environment test", true},
		{"json", []string{"TERM=xterm"}, []string{"plan", dir, "--json"}, "changes", false},
		{"NO_COLOR", []string{"TERM=xterm", "NO_COLOR=1"}, []string{"plan", dir}, "environment test", false},
		{"NO_COLOR finding", []string{"TERM=xterm", "NO_COLOR=1"}, []string{"validate", "/nowhere"}, "mend:", false},
		{"dumb", []string{"TERM=dumb"}, []string{"status"}, "no engine is running", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			shown := terminal(t, c.env, c.args...)
			if !strings.Contains(shown, c.says) || strings.Contains(shown, escape) != c.colour {
				t.Errorf("got %q, want %q, colours %v", shown, c.says, c.colour)
			}
		})
	}
}

// TestUnreadable: what another user may not read is a finding.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "landscape.hcl")
	shut := filepath.Join(dir, "shut")
	if err := errors.Join(os.WriteFile(file, []byte("landscape \"x\" {}\n"), 0), os.Mkdir(shut, 0), openUp(dir)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, shut, filepath.Join(shut, "landscape.hcl")} {
		cmd := exec.Command(binary, "validate", path)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(string(out), "cannot be read: permission denied\nmend: ") {
			t.Errorf("%s: exit %d, %s", path, code, out)
		}
	}
}

// TestOtherUsersEngine: an engine that may not be reached is not mistaken for none.
func TestOtherUsersEngine(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	socket := filepath.Join(state, "engine.sock")
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: socket}), unix.Listen(fd, 1), os.Chmod(socket, 0), openUp(state)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "status", "--state", state)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(string(out), "belongs to another user") {
		t.Errorf("exit %d, %s", code, out)
	}
}

// openUp lets other users pass through a test's directory, up to the common one.
func openUp(dir string) error {
	for ; dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}
