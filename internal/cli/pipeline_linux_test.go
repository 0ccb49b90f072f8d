package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPipelineOnTerminal answers an approval at a real terminal: yes, no, and
// nonsense first; while a stage runs, its line changes in place.
func TestPipelineOnTerminal(t *testing.T) {
	t.Parallel()
	text := `landscape "shop" {}
environment "test" {
  network = "10.10.0.0/16"
}
service "till" {
  image = "./images/till"
  port  = 8080
}
pipeline "p" {
  services = [service.till]
  stage "test" { run = ["sh", "-c", "for i in 1 2 3; do echo working $i; sleep 0.3; done"] }
  stage "approve" { approve = "Release?" }
  stage "last" { run = ["true"] }
}
`
	for answer, want := range map[string]struct {
		exit int
		says string
	}{
		"yes\n":        {exitDone, "approved by "},
		"hm\nno\n":     {exitRefused, "denied by "},
		"\x03":         {exitFailed, "interrupted in stage \"approve\""},
		"perhaps\ny\n": {exitDone, "approved by "},
	} {
		t.Run(strconv.Quote(answer), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "landscape.hcl"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			shown, exit := converse(t, answer, "pipeline", "run", dir)
			if exit != want.exit || !strings.Contains(shown, want.says) {
				t.Errorf("exit %d, want %d with %q:\n%q", exit, want.exit, want.says, shown)
			}
			if !strings.Contains(shown, "\x1b[1A\x1b[J") || !strings.Contains(shown, "working 2") {
				t.Errorf("nothing changes in place:\n%q", shown)
			}
			if n := strings.Count(answer, "\n"); exit == want.exit && n > 0 && strings.Count(shown, "yes or no: ") != n {
				t.Errorf("it asked %d times, not %d:\n%q", strings.Count(shown, "yes or no: "), n, shown)
			}
		})
	}
}

// converse runs godwit on a terminal of its own and answers when it asks.
func converse(t *testing.T, answer string, args ...string) (shown string, exit int) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = []string{"TERM=xterm", "PATH=" + os.Getenv("PATH"), "GODWIT_STATE=" + t.TempDir()}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // Ctrl-C comes from the terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var all bytes.Buffer
	buffer := make([]byte, 4096)
	for {
		n, err := master.Read(buffer)
		all.Write(buffer[:n])
		if answer != "" && strings.HasSuffix(strings.TrimSpace(all.String()), "yes or no:") {
			line, rest, _ := strings.Cut(answer, "\n")
			if line != "\x03" {
				line += "\n"
			}
			if _, err := master.WriteString(line); err != nil {
				t.Fatal(err)
			}
			answer = rest
		}
		if err != nil { // EIO: the last one has closed it
			break
		}
	}
	_ = cmd.Wait() // some fail on purpose
	return all.String(), cmd.ProcessState.ExitCode()
}
