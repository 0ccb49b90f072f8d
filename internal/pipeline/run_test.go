package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit/internal/landscape"
)

// TestWholeRun: stages in order, one build, the same digest everywhere, and the
// commands exactly as the CLI takes them.
func TestWholeRun(t *testing.T) {
	t.Parallel()
	for site, want := range map[string][]string{
		"local": {
			"probe tills --dir DIR --env test --duration 5s --rate 20 --state STATE",
			"build SERVICE --dir DIR --out IMAGE --state STATE",
			"deploy SERVICE --env test --image IMAGE --state STATE DIGEST",
			"deploy SERVICE --env production --image IMAGE --state STATE DIGEST",
		},
		"aws": {
			"probe tills --dir DIR --env test --duration 5s --rate 20 --site aws --state STATE",
			"build SERVICE --dir DIR --out IMAGE --state STATE",
			"aws bake SERVICE --dir DIR --image IMAGE --state STATE DIGEST",
			"aws deploy SERVICE --env test --image IMAGE --dir DIR --state STATE DIGEST",
			"aws deploy SERVICE --env production --image IMAGE --dir DIR --state STATE DIGEST",
		},
	} {
		t.Run(site, func(t *testing.T) {
			t.Parallel()
			th := newTheatre(t)
			r := th.begin(site, wholePipeline())
			if err := r.Drive(t.Context(), Drive{Approve: true, By: who("ann")}); err != nil {
				t.Fatal(err)
			}
			if s := th.status(r); s != Done {
				t.Errorf("status %s", s)
			}
			var expected []string
			for _, service := range []string{"till", "menu"} {
				digest := must(r.built(service))
				image := strings.ReplaceAll(r.imageDir(service), th.state, "STATE")
				for _, line := range want {
					if strings.Contains(line, "SERVICE") || service == "till" {
						expected = append(expected, "end "+strings.NewReplacer("SERVICE", service, "DIR", th.dir, "IMAGE", image, "DIGEST", digest).Replace(line))
					}
				}
			}
			got := th.calls("end ")
			slices.Sort(expected)
			sorted := slices.Sorted(slices.Values(got))
			if !slices.Equal(sorted, expected) {
				t.Errorf("calls\n%s\nwant\n%s", strings.Join(sorted, "\n"), strings.Join(expected, "\n"))
			}
			inOrder(t, th.calls(""), "build", "deploy-test", "probe", "deploy-production")
		})
	}
}

// inOrder: a kind of call begins only when all of the kind before have ended.
func inOrder(t *testing.T, calls []string, kinds ...string) {
	t.Helper()
	kind := func(line string) int {
		return slices.IndexFunc(kinds, func(k string) bool {
			word, env, _ := strings.Cut(k, "-")
			return strings.Contains(line, word+" ") && (env == "" || strings.Contains(line, "--env "+env))
		})
	}
	last := 0
	for _, line := range calls {
		k := kind(line)
		if k < 0 {
			continue
		}
		if k < last {
			t.Errorf("%q comes after one of %s", line, kinds[last])
		}
		last = k
	}
}

// TestBakeArguments: what a bake is to do is written down with the run; who goes on
// with it may say otherwise.
func TestBakeArguments(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	p := wholePipeline()
	p.Services, p.Stages = []string{"till"}, p.Stages[1:3]
	plan := Plan{Landscape: bistro(), Pipeline: p, Dir: th.dir, Digest: "d", Site: "aws", Bake: []string{"--from=203.0.113.7/32", "--subnet=subnet-1"}, By: who("tester")}
	first := must(Open(th.state).Begin(plan, time.Now()))
	th.put("bake-till.exit", "1")
	for i, bake := range [][]string{nil, {"--security-group=sg-1"}} {
		r := must(Open(th.state).Get(first.ID))
		if bake != nil {
			r.Bake = bake
		}
		if err := r.Drive(t.Context(), Drive{}); (err == nil) != (i == 1) {
			t.Fatal(err)
		}
		if i == 0 {
			th.remove("bake-till.exit")
		}
	}
	image := strings.ReplaceAll(first.imageDir("till"), th.state, "STATE")
	want := []string{
		"begin aws bake till --dir " + th.dir + " --image " + image + " --from=203.0.113.7/32 --subnet=subnet-1 --state STATE",
		"begin aws bake till --dir " + th.dir + " --image " + image + " --security-group=sg-1 --state STATE",
	}
	if got := th.calls("begin aws bake"); !slices.Equal(got, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	plan.Site = "local"
	if _, err := Open(th.state).Begin(plan, time.Now()); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "bakes nothing") {
		t.Errorf("on site local: %v", err)
	}
}

// TestSideBySide: both services are built at the same time.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	th.hold("build-till")
	th.hold("build-menu")
	r := th.begin("local", wholePipeline())
	ended := make(chan error)
	go func() { ended <- r.Drive(t.Context(), Drive{Approve: true}) }()
	th.began("build", 2)
	th.release("build-till")
	th.release("build-menu")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestFailure in each stage: nothing later runs, the other service's share of the
// stage does; once it is mended the run goes on there, and repeats nothing.
func TestFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key, stage string
		status     int
		refused    bool
		later      []string
	}{
		{"build-till", "build", 1, false, []string{"deploy", "probe"}},
		{"deploy-till-test", "deploy-test", 1, false, []string{"probe", "deploy till --env production", "deploy menu --env production"}},
		{"deploy-till-test", "deploy-test", 3, true, []string{"probe", "deploy till --env production"}},
		{"probe-tills-test", "smoke", 1, false, []string{"deploy till --env production"}},
		{"deploy-menu-production", "production", 3, true, nil},
	} {
		t.Run(fmt.Sprintf("%s %d", c.stage, c.status), func(t *testing.T) {
			t.Parallel()
			th := newTheatre(t)
			th.put(c.key+".exit", fmt.Sprint(c.status))
			th.put(c.key+".say", "the reason is this\n")
			r := th.begin("local", wholePipeline())
			err := r.Drive(t.Context(), Drive{Approve: true})
			var f *Failure
			if !errors.As(err, &f) || f.Stage != c.stage || f.Refused != c.refused || len(f.Units) != 1 || f.Units[0].Exit != c.status {
				t.Fatalf("got %v", err)
			}
			for _, later := range c.later {
				if calls := th.calls("begin " + later); len(calls) > 0 {
					t.Errorf("after the failure: %q", calls)
				}
			}
			tail, err := r.Tail(f.Units[0].Unit, 10)
			if err != nil || !slices.Contains(tail, "the reason is this") {
				t.Errorf("the log ends with %q, %v", tail, err)
			}
			th.remove(c.key + ".exit")
			th.remove(c.key + ".say")
			before := len(th.calls("end "))
			err = r.Drive(t.Context(), Drive{Approve: true, Watch: func(e Event) {
				if strings.Contains(e.Text, "the reason is this") {
					t.Errorf("the log of the attempt that failed is shown again by %s", e.Unit.Name())
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			all := th.calls("end ")
			if twice := len(all) - len(slices.Compact(slices.Sorted(slices.Values(all)))); twice > 0 || len(all) <= before && c.later != nil {
				t.Errorf("%d calls ended twice:\n%s", twice, strings.Join(all, "\n"))
			}
		})
	}
}

// TestTwoAtOnce: the second runner is refused, with the first one's name; also
// when the first was killed and only its worker lives. Single stages are too.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	th.hold("build-till")
	first := th.begin("local", wholePipeline())
	runner, _ := th.runner(first)
	th.began("build", 2)
	second := th.begin("local", wholePipeline())
	refused := func(when string) {
		t.Helper()
		if err := second.Drive(t.Context(), Drive{Approve: true}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), first.ID) {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("while it runs")
	if err := second.Stage(t.Context(), "test", "", nil, Drive{}); !errors.Is(err, ErrBusy) {
		t.Errorf("a single stage: %v", err)
	}
	if err := runner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = runner.Wait() // it was killed
	refused("with only a worker left")
	if s := th.status(first); s != Running {
		t.Errorf("the first one is %s", s)
	}
	th.release("build-till")
	if err := first.Drive(t.Context(), Drive{Approve: true}); err != nil {
		t.Fatal(err)
	}
	if err := second.Drive(t.Context(), Drive{Approve: true}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestOvertaken: what a later run has deployed is not replaced by an earlier run.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	early := th.begin("local", wholePipeline())
	var waiting *Waiting
	if err := early.Drive(t.Context(), Drive{}); !errors.As(err, &waiting) {
		t.Fatal(err)
	}
	late := th.begin("local", wholePipeline())
	if err := late.Drive(t.Context(), Drive{Approve: true}); err != nil {
		t.Fatal(err)
	}
	before := len(th.calls("begin deploy"))
	err := early.Drive(t.Context(), Drive{Approve: true})
	var f *Failure
	if !errors.As(err, &f) || !f.Refused || !strings.Contains(err.Error(), late.ID) {
		t.Errorf("got %v", err)
	}
	if after := len(th.calls("begin deploy")); after != before {
		t.Errorf("it deployed all the same: %q", th.calls("begin deploy"))
	}
}

// TestManyAttach: of many that start one unit at once, one does it and all see
// its end and its output.
func TestManyAttach(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	th.hold("build-till")
	th.put("build-till.say", "built it\n")
	r := th.begin("local", wholePipeline())
	if err := r.Stage(t.Context(), "test", "", nil, Drive{}); err != nil {
		t.Fatal(err)
	}
	const many = 8
	var all sync.WaitGroup
	errs, said := make([]error, many), make([]string, many)
	for i := range many {
		all.Go(func() {
			own := must(Open(th.state).Get(r.ID))
			errs[i] = own.Stage(t.Context(), "build", "till", nil, Drive{Watch: func(e Event) { said[i] += e.Text }})
		})
	}
	th.began("build", 1)
	th.release("build-till")
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if calls := th.calls("begin build"); len(calls) != 1 {
		t.Errorf("built %d times", len(calls))
	}
	for i, s := range said {
		if s != "" && !strings.Contains(s, "built it") {
			t.Errorf("%d saw %q", i, s)
		}
	}
	if err := r.Stage(t.Context(), "build", "till", nil, Drive{Watch: func(e Event) {
		if e.Moment != Ended {
			t.Errorf("done, and then %v", e)
		}
	}}); err != nil {
		t.Error(err)
	}
}

// TestStageNeedsWhatIsBefore it.
func TestStageNeedsWhatIsBefore(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", wholePipeline())
	for _, c := range []struct{ stage, want string }{{"build", `comes after "test"`}, {"nope", "no stage"}, {"test", ""}} {
		err := r.Stage(t.Context(), c.stage, "", nil, Drive{})
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.stage, err)
		}
	}
	if err := r.Stage(t.Context(), "build", "kitchen", nil, Drive{}); !errors.Is(err, ErrUsage) {
		t.Errorf("a service that is not of it: %v", err)
	}
}

// TestImageIsTheBuiltOne: one that was changed after the build is not deployed.
func TestImageIsTheBuiltOne(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	th.put("probe-tills-test.exit", "1")
	r := th.begin("local", wholePipeline())
	if err := r.Drive(t.Context(), Drive{Approve: true}); err == nil {
		t.Fatal("the probe did not fail")
	}
	th.remove("probe-tills-test.exit")
	index := filepath.Join(r.imageDir("till"), "index.json")
	if err := os.WriteFile(index, []byte(`{"manifests":[{"digest":"sha256:00"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Drive(t.Context(), Drive{Approve: true}); err == nil || !strings.Contains(err.Error(), "sha256:00 now") {
		t.Errorf("got %v", err)
	}
	if calls := th.calls("begin deploy till --env production"); len(calls) > 0 {
		t.Errorf("deployed: %q", calls)
	}
}

// shell is a pipeline of one command.
func shell(script string, limit time.Duration) landscape.Pipeline {
	return landscape.Pipeline{Name: "till", Stages: []landscape.Stage{
		{Name: "run", Run: &landscape.StageRun{Command: []string{"sh", "-c", script}}, Timeout: limit}}}
}

// TestTimeout ends a stage with all that it started.
func TestTimeout(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", shell("sleep 1000 & set -m; sleep 1000 & sleep 1000", 300*time.Millisecond))
	err := r.Drive(t.Context(), Drive{})
	var f *Failure
	if !errors.As(err, &f) || !strings.Contains(err.Error(), "it took longer than 300ms") {
		t.Errorf("got %v", err)
	}
	th.nothingRuns()
}

// TestEnginesLive: what makes itself a session of its own, as an engine does that
// a deployment starts, outlives the stage.
func TestEnginesLive(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", shell("mkfifo up && { setsid sh -c 'echo $$ >up; exec sleep 1000' >/dev/null 2>&1 & read pid <up; echo pid $pid; }", time.Minute))
	var pid int
	err := r.Drive(t.Context(), Drive{Watch: func(e Event) { fmt.Sscanf(e.Text, "pid %d", &pid) }})
	if err != nil || pid == 0 {
		t.Fatal(pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

// TestLeftBehind: a command that leaves a process in the background has ended
// when it ends, and the process with it.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", shell("sleep 1000 & echo done", time.Minute))
	if err := r.Drive(t.Context(), Drive{}); err != nil {
		t.Fatal(err)
	}
	th.nothingRuns()
}

// TestInterrupt: Ctrl-C ends workers, commands and what those started, and says
// how to go on.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"willing":          "sleep 1000 & sleep 1000",
		"in its own group": "set -m; sleep 1000 & wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			th := newTheatre(t)
			r := th.begin("local", shell("echo up; "+script, time.Minute))
			ctx, cancel := context.WithCancel(t.Context())
			err := r.Drive(ctx, Drive{Watch: func(e Event) {
				if e.Text == "up" {
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "--resume "+r.ID) {
				t.Errorf("got %v", err)
			}
			th.nothingRuns()
			if s := th.status(r); s != Interrupted {
				t.Errorf("status %s", s)
			}
		})
	}
}

// TestRunEach runs a command per service, with its name.
func TestRunEach(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	p := shell(`echo "for $SERVICE in $GODWIT_STAGE"; test -z "$JENKINS_NODE_COOKIE"`, time.Minute)
	p.Stages[0].Run.Each, p.Stages[0].Run.Dir = true, "sub"
	if err := os.Mkdir(filepath.Join(th.dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := th.begin("local", p)
	var mu sync.Mutex
	var said []string
	err := r.Drive(t.Context(), Drive{Watch: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Moment == Line {
			said = append(said, e.Unit.Service+": "+e.Text)
		}
	}})
	slices.Sort(said)
	if err != nil || !slices.Equal(said, []string{"menu: for menu in run", "till: for till in run"}) {
		t.Errorf("%q, %v", said, err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, id := range []string{"jenkins-bistro-12", "jenkins-a/b-1", "jenkins-a_b-1", "..", "../x", ".", "a b", "ä", strings.Repeat("x", 300), strings.Repeat("x", 301)} {
		name := safeName(id)
		if other, ok := seen[name]; ok || strings.ContainsAny(name, "/ ") || name == ".." || name == "." || len(name) > 120 {
			t.Errorf("%q is %q, as %q is", id, name, other)
		}
		seen[name] = id
	}
	th := newTheatre(t)
	for _, id := range []string{"\x00", strings.Repeat("x", 500)} {
		if _, err := Open(th.state).Get(id); !errors.Is(err, ErrUsage) {
			t.Errorf("%.10q: %v", id, err)
		}
	}
	if _, err := Open(th.state).Get("../../etc"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// TestQueue: where an engine does one rollout at a time, units wait for each
// other, and one that waits can be ended; elsewhere they do not wait.
func TestQueue(t *testing.T) {
	t.Parallel()
	for site, waits := range map[string]bool{"local": true, "aws": false} {
		t.Run(site, func(t *testing.T) {
			t.Parallel()
			th := newTheatre(t)
			th.hold("deploy-till-test")
			th.hold("deploy-menu-test")
			r := th.begin(site, wholePipeline())
			ctx, cancel := context.WithCancel(t.Context())
			waiting, ended := make(chan string, 10), make(chan error)
			go func() {
				ended <- r.Drive(ctx, Drive{Approve: true, Watch: func(e Event) {
					if strings.HasPrefix(e.Text, "waits for its turn") {
						waiting <- e.Unit.Service
					}
				}})
			}()
			if !waits {
				th.soon(func() error { return errors.Join(th.isHeld("deploy-till-test"), th.isHeld("deploy-menu-test")) })
				cancel()
				<-ended
				return
			}
			<-waiting
			th.began("deploy", 1)
			if n := len(th.calls("begin deploy")); n != 1 {
				t.Errorf("%d rollouts at once", n)
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			th.nothingRuns()
			if n := len(th.calls("begin deploy")); n != 1 {
				t.Errorf("the one that waited has begun all the same")
			}
		})
	}
}
