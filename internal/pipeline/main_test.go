package pipeline

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/landscape"
)

// TestMain makes the test binary godwit too: the real workers and runners, and
// in place of build, deploy and the like a program that writes down its calls.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := play(ctx, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			var status exitStatus
			if errors.As(err, &status) {
				os.Exit(int(status))
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("told to exit with %d", int(e)) }

func play(ctx context.Context, args []string) error {
	if args[0] != "pipeline" {
		return act(args)
	}
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	var job Job
	state := flags.String("state", "", "")
	flags.StringVar(&job.Run, "run", "", "")
	flags.StringVar(&job.Dir, "dir", "", "")
	flags.IntVar(&job.Position, "position", 0, "")
	flags.StringVar(&job.Service, "service", "", "")
	flags.IntVar(&job.Attempt, "attempt", 0, "")
	flags.Func("bake", "", func(arg string) error { job.Bake = append(job.Bake, arg); return nil })
	if err := flags.Parse(args[2:]); err != nil {
		return err
	}
	switch args[1] {
	case "work":
		return Open(*state).Work(ctx, job)
	case "prune":
		_, err := Open(*state).Prune(ctx, Prune{Keep: 1})
		return err
	}
	r, err := Open(*state).Get(job.Run)
	if err != nil {
		return err
	}
	return r.Drive(ctx, Drive{Approve: true, By: who("child"), Watch: func(e Event) { fmt.Println(e.Moment, e.Unit.Name(), e.Text) }})
}

// act plays one command of godwit: it writes down that it began, does what the
// file of its name tells, and writes down that it ended.
func act(args []string) error {
	state := args[slices.Index(args, "--state")+1]
	plain := strings.ReplaceAll(strings.Join(args, " "), state, "STATE")
	scene := filepath.Join(state, "play")
	if args[0] == "probe" {
		dir, err := os.MkdirTemp("", "godwit-probe-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := note(scene, "temp "+dir); err != nil {
			return err
		}
	}
	if err := note(scene, "begin "+plain); err != nil {
		return err
	}
	key := sceneKey(args)
	if hold, err := os.Open(filepath.Join(scene, key+".hold")); err == nil { // a fifo: until somebody opens its other end
		bufio.NewReader(hold).ReadString('\n')
		hold.Close()
	}
	if text, err := os.ReadFile(filepath.Join(scene, key+".say")); err == nil {
		os.Stdout.Write(text)
	}
	if text, err := os.ReadFile(filepath.Join(scene, key+".exit")); err == nil {
		var status int
		fmt.Sscan(string(text), &status)
		return exitStatus(status)
	}
	if args[0] == "build" {
		out := args[slices.Index(args, "--out")+1]
		var nonce [32]byte
		rand.Read(nonce[:])
		if err := os.MkdirAll(out, 0o700); err != nil {
			return err
		}
		index := fmt.Sprintf(`{"manifests":[{"digest":"sha256:%s"}]}`, hex.EncodeToString(nonce[:]))
		if err := os.WriteFile(filepath.Join(out, "index.json"), []byte(index), 0o600); err != nil {
			return err
		}
	}
	if i := slices.Index(args, "--image"); i >= 0 {
		digest, err := imageDigest(args[i+1])
		if err != nil {
			return err
		}
		plain += " " + digest
	}
	return note(scene, "end "+plain)
}

// sceneKey is build-till, deploy-till-test, probe-tills-stage.
func sceneKey(args []string) string {
	args = slices.Clone(args)
	if args[0] == "aws" {
		args = args[1:]
	}
	key := args[0] + "-" + args[1]
	if i := slices.Index(args, "--env"); i >= 0 {
		key += "-" + args[i+1]
	}
	return key
}

func note(scene, line string) error {
	f, err := os.OpenFile(filepath.Join(scene, "calls"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// theatre is a state directory with a scene for the played commands.
type theatre struct {
	testing.TB
	state, dir string
}

func newTheatre(t testing.TB) *theatre {
	t.Helper()
	th := &theatre{TB: t, state: t.TempDir(), dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(th.state, "play"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // what a failed test left
		for _, pid := range th.processes() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return th
}

func (th *theatre) put(name, text string) {
	th.Helper()
	if err := os.WriteFile(filepath.Join(th.state, "play", name), []byte(text), 0o600); err != nil {
		th.Fatal(err)
	}
}

func (th *theatre) remove(name string) {
	th.Helper()
	if err := os.Remove(filepath.Join(th.state, "play", name)); err != nil {
		th.Fatal(err)
	}
}

// hold makes a command wait until release.
func (th *theatre) hold(key string) {
	th.Helper()
	if err := syscall.Mkfifo(filepath.Join(th.state, "play", key+".hold"), 0o600); err != nil {
		th.Fatal(err)
	}
}

func (th *theatre) release(key string) {
	th.Helper()
	path := filepath.Join(th.state, "play", key+".hold")
	th.soon(func() error {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0) // fails until the command waits
		if err == nil {
			err = f.Close()
		}
		return err
	})
	th.remove(key + ".hold")
}

func (th *theatre) soon(f func() error) {
	th.Helper()
	_, err := backoff.Retry(context.Background(), func() (struct{}, error) { return struct{}{}, f() },
		backoff.WithBackOff(backoff.NewConstantBackOff(10*time.Millisecond)), backoff.WithMaxElapsedTime(30*time.Second))
	if err != nil {
		th.Fatal(err)
	}
}

// calls are the lines that the played commands wrote, those with a prefix.
func (th *theatre) calls(prefix string) (lines []string) {
	th.Helper()
	text, err := os.ReadFile(filepath.Join(th.state, "play", "calls"))
	if err != nil && !os.IsNotExist(err) {
		th.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// began waits until a command has begun n times.
func (th *theatre) began(prefix string, n int) {
	th.Helper()
	th.soon(func() error {
		if got := th.calls("begin " + prefix); len(got) < n {
			return fmt.Errorf("%q began %d times, not %d", prefix, len(got), n)
		}
		return nil
	})
}

// processes are those that belong to this state directory.
func (th *theatre) processes() (pids []int) {
	for _, dir := range must(filepath.Glob("/proc/[0-9]*")) {
		environment, _ := os.ReadFile(dir + "/environ")
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		var pid int
		fmt.Sscan(filepath.Base(dir), &pid)
		if pid != os.Getpid() && strings.Contains(string(environment)+string(cmdline), th.state) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (th *theatre) nothingRuns() {
	th.Helper()
	th.soon(func() error {
		if pids := th.processes(); len(pids) > 0 {
			return fmt.Errorf("processes %v are left", pids)
		}
		return nil
	})
}

// bistro is a landscape with two services and all kinds of stages.
func bistro() *landscape.Landscape {
	return &landscape.Landscape{Name: "bistro",
		Services: []landscape.Service{
			{Name: "till", Env: map[string]landscape.Value{"API_TOKEN": secretValue("GODWIT_TEST_TOKEN")}},
			{Name: "menu"},
		},
		Sources: []landscape.Source{{Name: "datacenter", Databases: []landscape.SourceEndpoint{
			{Name: "till", URL: secretValue("GODWIT_TEST_DATABASE_URL")}}}},
	}
}

func secretValue(name string) landscape.Value {
	return landscape.Value{Parts: []landscape.Part{{Ref: &landscape.AttrRef{Kind: "env", Name: name}}}}
}

func wholePipeline() landscape.Pipeline {
	const limit = time.Minute
	return landscape.Pipeline{Name: "till", Stages: []landscape.Stage{
		{Name: "test", Run: &landscape.StageRun{Command: []string{"sh", "-c", `echo "testing in $PWD"`}}, Timeout: limit},
		{Name: "build", Build: true, Timeout: limit},
		{Name: "bake", Bake: true, Timeout: limit},
		{Name: "deploy-test", Deploy: "test", Timeout: limit},
		{Name: "smoke", Probe: &landscape.StageProbe{Probe: "tills", Environment: "test", Duration: 5 * time.Second, Rate: 20}, Timeout: limit},
		{Name: "approve", Approve: "Release to production?", Timeout: limit},
		{Name: "production", Deploy: "production", Timeout: limit},
	}}
}

func (th *theatre) begin(site string, p landscape.Pipeline) *Run {
	th.Helper()
	r, err := Open(th.state).Begin(Plan{Landscape: bistro(), Pipeline: p, Dir: th.dir, Digest: "d", Site: site, By: who("tester")}, time.Now())
	if err != nil {
		th.Fatal(err)
	}
	return r
}

// runner starts godwit pipeline run in a process of its own.
func (th *theatre) runner(r *Run) (*exec.Cmd, *bufio.Scanner) {
	th.Helper()
	cmd := exec.Command(must(os.Executable()), "pipeline", "run", "--state", th.state, "--run", r.ID)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		th.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (th *theatre) status(r *Run) Status {
	th.Helper()
	s, err := r.State()
	if err != nil {
		th.Fatal(err)
	}
	return s.Status
}
