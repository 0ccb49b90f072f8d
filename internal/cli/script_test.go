package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"godwit/internal/site/local"
)

// binary is godwit, built once: the engine and everything below it re-execute it.
var binary string

func TestMain(m *testing.M) {
	if handled, code := local.Dispatch(os.Args); handled { // local.Check re-executes this binary
		os.Exit(code)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "godwit-cli-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755) // another user runs it too
	}
	binary = filepath.Join(dir, "godwit")
	if err == nil {
		var out []byte
		if out, err = exec.Command("go", "build", "-o", binary, "../../cmd/godwit").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// TestScripts runs the real binary as a user does.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:   filepath.Join("testdata", "script"),
		Setup: setup,
		Condition: func(name string) (bool, error) {
			if name == "namespaces" {
				return len(local.Check()) == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "json": isJSON, "serves": serves, "kill9": kill9, "ctrlc": ctrlC, "nothingleft": nothingLeft, "large": large, "mkfifo": mkfifo,
		},
	})
}

// setup gives a script a state directory with a short path, and an address.
func setup(env *testscript.Env) error {
	state, err := os.MkdirTemp("", "godwit-s-")
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := ln.Addr().String()
	ln.Close()
	userCache, err := os.UserCacheDir() // Postgres may have been installed there
	if err != nil {
		return err
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"PATH":         filepath.Dir(binary) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"GODWIT_STATE": filepath.Join(state, "s"), "LISTEN": address, "GOCACHE": strings.TrimSpace(string(cache)),
		"XDG_CACHE_HOME": userCache,
	} {
		env.Setenv(name, value)
	}
	env.Defer(func() {
		_ = exec.Command(binary, "down", "--approve", "--state", filepath.Join(state, "s")).Run() // most scripts have nothing to end
		for _, pid := range processesOf(state) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		os.RemoveAll(state)
	})
	return nil
}

// command is a command line with a script's surroundings.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	if args[0] == "godwit" {
		cmd.Path, cmd.Err = binary, nil
	}
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "GODWIT_STATE", "GOCACHE", "HOME", "XDG_CACHE_HOME", "CI", "TILL_URL", "DATABASE",
		"TINY_TOKEN", "SUDO_USER", "USER", "LOGNAME",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// exits STATUS COMMAND…: the command ends with this status, without a panic, and
// within two seconds of the processor (what others do on this machine is not its
// fault).
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := command(ts, args[1:])
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = ts.Stdout(), io.MultiWriter(&stderr, ts.Stderr())
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	if used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); used > 2*time.Second {
		ts.Fatalf("took %s of processor time", used)
	}
	if text := stderr.String(); strings.Contains(text, "goroutine ") || strings.Contains(text, "panic:") {
		ts.Fatalf("panicked: %s", text)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit status %d, want %d: %s", got, want, stderr.String())
	}
}

// isJSON FIELD…: stdout is exactly one JSON document, an object with these fields.
func isJSON(ts *testscript.TestScript, _ bool, args []string) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var doc map[string]any
	ts.Check(d.Decode(&doc))
	if _, err := d.Token(); err != io.EOF {
		ts.Fatalf("something follows the document")
	}
	for _, field := range args {
		if _, ok := doc[field]; !ok {
			ts.Fatalf("no field %q", field)
		}
	}
}

// serves HOST PATTERN: the gateway answers with this, at the latest after a while.
func serves(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[1])
	ts.Check(soon(func() error {
		req, err := http.NewRequest(http.MethodGet, "http://"+ts.Getenv("LISTEN")+"/", nil)
		if err != nil {
			return err
		}
		req.Host, req.Close = args[0], true
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err == nil && (res.StatusCode != http.StatusOK || !pattern.Match(body)) {
			err = fmt.Errorf("%s: %s", res.Status, body)
		}
		return err
	}))
}

// soon tries until it works, for some seconds.
func soon(do func() error) error {
	_, err := backoff.Retry(context.Background(), func() (struct{}, error) { return struct{}{}, do() },
		backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)), backoff.WithMaxElapsedTime(20*time.Second))
	return err
}

// kill9 NAME: the process of this name, engine or gateway, is killed.
func kill9(ts *testscript.TestScript, _ bool, args []string) {
	killed := 0
	for _, pid := range processesOf(ts.Getenv("GODWIT_STATE")) {
		if cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.Contains(cmdline, []byte("\x00"+args[0]+"\x00")) {
			ts.Check(syscall.Kill(pid, syscall.SIGKILL))
			ts.Check(soon(func() error {
				if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !bytes.Contains(stat, []byte(") Z ")) {
					return errors.New("still there")
				}
				return nil
			}))
			killed++
		}
	}
	if killed != 1 {
		ts.Fatalf("killed %d processes called %s", killed, args[0])
	}
}

// ctrlC PATTERN COMMAND…: SIGINT as soon as stderr matches. What it says goes to
// the file interrupted; it must fail.
func ctrlC(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	cmd := command(ts, args[1:])
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	var said bytes.Buffer
	interrupted := false
	buffer := make([]byte, 4096)
	for {
		n, err := stderr.Read(buffer)
		said.Write(buffer[:n])
		if !interrupted && pattern.Match(said.Bytes()) {
			interrupted = true
			ts.Check(cmd.Process.Signal(os.Interrupt))
		}
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	ts.Logf("%s", said.String())
	ts.Check(os.WriteFile(ts.MkAbs("interrupted"), said.Bytes(), 0o600))
	if !interrupted || cmd.ProcessState.ExitCode() != exitFailed {
		ts.Fatalf("interrupted: %v; it ended with %v", interrupted, err)
	}
}

// nothingLeft: no process of the state directory, no socket in it.
func nothingLeft(ts *testscript.TestScript, _ bool, _ []string) {
	state := ts.Getenv("GODWIT_STATE")
	ts.Check(soon(func() error {
		if pids := processesOf(state); len(pids) > 0 {
			return fmt.Errorf("processes %v are left", pids)
		}
		return nil
	}))
	ts.Check(filepath.WalkDir(state, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type()&os.ModeSocket != 0 {
			err = fmt.Errorf("%s is left", path)
		}
		return err
	}))
	mounts, err := os.ReadFile("/proc/self/mounts")
	ts.Check(err)
	if strings.Contains(string(mounts), state) {
		ts.Fatalf("a mount is left")
	}
}

// processesOf are the living processes whose command line or working directory
// names a state directory.
func processesOf(state string) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		cwd, _ := os.Readlink(dir + "/cwd")
		if pid != os.Getpid() && (bytes.Contains(cmdline, []byte(state)) || strings.HasPrefix(cwd, state)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// large FILE KIND: makes a file that a script cannot hold.
func large(ts *testscript.TestScript, _ bool, args []string) {
	var b bytes.Buffer
	switch args[1] {
	case "text":
		b.Write(bytes.Repeat([]byte("a"), 10<<20))
	case "binary":
		for i := range 1 << 18 {
			b.WriteByte(byte(i * i >> 3))
		}
	case "utf8":
		b.WriteString("landscape \"x\xff\xfe\" {}\n")
	case "deep":
		b.WriteString("landscape \"x\" {}\nservice \"a\" {\n  port = " + strings.Repeat("(", 100_000))
	case "services":
		b.WriteString("landscape \"x\" {}\nenvironment \"test\" {\n  network = \"10.10.0.0/16\"\n}\n")
		for i := range 5000 {
			fmt.Fprintf(&b, "service \"s%d\" {\n  image = \"./i\"\n  port = 80\n}\n", i)
		}
	default:
		ts.Fatalf("no kind %q", args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600))
}

func mkfifo(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(syscall.Mkfifo(ts.MkAbs(args[0]), 0o600))
}
