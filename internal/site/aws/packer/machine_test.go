//go:build linux

package packer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
)

// instance is what boot and agent see of a machine: its metadata service, its
// aws command against an emulator, and a systemctl and an nft that only tell what
// they are asked.
type instance struct {
	imds     *httptest.Server
	userData atomic.Pointer[string]
	state    atomic.Pointer[string] // target-lifecycle-state; "" for none
	broken   atomic.Int32           // so many answers of the metadata service fail
	asked    chan string            // what systemctl and nft are asked
	dir      string
	env      []string
}

const instanceID = "i-0123456789abcdef0"

func newInstance(t *testing.T, endpoint string) *instance {
	t.Helper()
	i := &instance{dir: t.TempDir(), asked: make(chan string, 1000)}
	empty := ""
	i.userData.Store(&empty)
	i.state.Store(&empty)
	i.imds = httptest.NewServer(http.HandlerFunc(i.metadata))
	t.Cleanup(i.imds.Close)
	listener := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		i.asked <- string(b)
	}))
	t.Cleanup(listener.Close)
	bin := filepath.Join(i.dir, "bin")
	i.write(t, "opt/image.json", `{"landscape": "bistro", "service": "till", "digest": "`+baked+`"}`)
	for _, name := range []string{"systemctl", "nft"} {
		i.write(t, "bin/"+name, "#!/bin/sh\nexec curl -sf --noproxy '*' -o /dev/null --data-binary \""+name+" $*\" "+listener.URL+"\n")
	}
	i.env = []string{"PATH=" + bin + ":" + filepath.Dir(awstest.Tool(t, "aws")) + ":" + os.Getenv("PATH"), "HOME=" + i.dir,
		"GODWIT_RUN=" + filepath.Join(i.dir, "run"), "GODWIT_HOME=" + filepath.Join(i.dir, "opt"), "GODWIT_UNITS=" + filepath.Join(i.dir, "units"),
		"GODWIT_IMDS=" + i.imds.URL, "GODWIT_PATIENCE=0", "AWS_ENDPOINT_URL=" + endpoint, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_EC2_METADATA_DISABLED=true"}
	return i
}

const baked = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func (i *instance) write(t *testing.T, name, content string) {
	t.Helper()
	place := filepath.Join(i.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(place), 0o755), os.WriteFile(place, []byte(content), 0o755)); err != nil {
		t.Fatal(err)
	}
}

// metadata is version 2 of the service: nothing without a token, and each token
// is good for three questions.
func (i *instance) metadata(w http.ResponseWriter, r *http.Request) {
	if i.broken.Add(-1) >= 0 {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == "/latest/api/token" {
		if r.Method != http.MethodPut || r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") == "" {
			http.Error(w, "", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, "TOKEN")
		return
	}
	if r.Header.Get("X-aws-ec2-metadata-token") != "TOKEN" {
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	answers := map[string]string{"/latest/user-data": *i.userData.Load(), "/latest/meta-data/instance-id": instanceID,
		"/latest/meta-data/autoscaling/target-lifecycle-state": *i.state.Load()}
	if answers[r.URL.Path] == "" {
		http.NotFound(w, r)
		return
	}
	_, _ = io.WriteString(w, answers[r.URL.Path])
}

// program is boot or agent as it is in the image.
func (i *instance) program(ctx context.Context, name string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", filepath.Join("machine/bin", name))
	cmd.Env = append(append([]string{}, i.env...), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// boot returns what boot wrote to the journal.
func (i *instance) boot(t *testing.T, u any, env ...string) (string, error) {
	t.Helper()
	var text string
	switch u := u.(type) {
	case string:
		text = u
	case convention.UserData:
		b, err := u.Encode()
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	i.userData.Store(&text)
	out, err := i.program(t.Context(), "boot", env...).CombinedOutput()
	return string(out), err
}

func released(port int) convention.UserData {
	return convention.UserData{Godwit: convention.UserDataVersion, Landscape: "bistro", Environment: "production", Service: "till",
		Region: awstest.Region, LogGroup: "/bistro/production/till", Group: "bistro-production-till-blue", Hook: convention.DrainHook, Port: port,
		Release: fleet.Release{Environment: "production", Service: "till", Number: 7, Image: baked, Port: port,
			Health: landscape.Health{Path: "/healthz", Interval: 50e6, Timeout: 5e9}}}
}

const awkward = "p@ss \"word\" $HOME `id` \\ 'x' 100% #;\nsecond line\ttab \\\" \\$ end\\"

func TestBoot(t *testing.T) {
	t.Parallel()
	m := awstest.StartMoto(t)
	i := newInstance(t, m.URL)
	keep(t, m, "bistro/production/database/orders", map[string]any{"password": awkward, "port": 5432})
	u := released(80)
	u.Env = map[string][]convention.Piece{
		"DATABASE_URL": {{Text: "postgres://till:"}, {Secret: "bistro/production/database/orders", Key: "password"}, {Text: "@db:"}, {Secret: "bistro/production/database/orders", Key: "port"}},
		"PLAIN":        {{Text: awkward}}, "EMPTY": nil, "HOST": {{Text: "::"}}}
	i.broken.Store(1) // it tries again
	said, err := i.boot(t, u, "GODWIT_PATIENCE=60")
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if strings.Contains(said, "p@ss") || strings.Contains(said, "second line") || !strings.Contains(said, "release 7 of service till") {
		t.Errorf("it said %q", said)
	}
	got := parseEnvironment(t, i.file(t, "run/env"))
	for name, want := range map[string]string{"DATABASE_URL": "postgres://till:" + awkward + "@db:5432", "PLAIN": awkward, "EMPTY": "", "HOST": "::", "PORT": "80"} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	err = filepath.WalkDir(filepath.Join(i.dir, "run"), func(name string, d os.DirEntry, err error) error {
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if d := i.file(t, "units/godwit-service.service.d/release.conf"); !strings.Contains(d, "CAP_NET_BIND_SERVICE") || !strings.Contains(d, "EnvironmentFile=") {
		t.Errorf("drop-in %q", d)
	}
	if a, b := <-i.asked, <-i.asked; a != "nft add element inet godwit ports { 80 }" || b != "systemctl daemon-reload" {
		t.Errorf("asked %q, %q", a, b)
	}
	checkCloudWatch(t, i.file(t, "run/cloudwatch.json"))
}

func checkCloudWatch(t *testing.T, text string) {
	var c struct {
		Logs struct {
			Collected struct {
				Files struct {
					List []struct {
						Group  string `json:"log_group_name"`
						Stream string `json:"log_stream_name"`
					} `json:"collect_list"`
				} `json:"files"`
			} `json:"logs_collected"`
		}
		Metrics struct {
			Namespace string
			Collected map[string]struct {
				Measurement []string
				Interval    int               `json:"metrics_collection_interval"`
				Dimensions  map[string]string `json:"append_dimensions"`
			} `json:"metrics_collected"`
		}
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	cpu := c.Metrics.Collected["cpu"]
	if c.Metrics.Namespace != convention.MetricsNamespace || "cpu_"+cpu.Measurement[0] != convention.MetricCPU || cpu.Interval != 10 ||
		cpu.Dimensions["AutoScalingGroupName"] != "bistro-production-till-blue" || c.Logs.Collected.Files.List[0].Group != "/bistro/production/till" ||
		c.Logs.Collected.Files.List[0].Stream != instanceID {
		t.Errorf("%s", text)
	}
}

func keep(t *testing.T, m awstest.Moto, name string, content any) {
	t.Helper()
	b, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secretsmanager.NewFromConfig(m.Config(t)).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String(string(b))}); err != nil {
		t.Fatal(err)
	}
}

// putVersion adds a version to a secret, which is not current.
func putVersion(t *testing.T, m awstest.Moto, name, version string, content any) {
	t.Helper()
	b, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secretsmanager.NewFromConfig(m.Config(t)).PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name,
		SecretString: aws.String(string(b)), ClientRequestToken: &version, VersionStages: []string{"kept-" + version}}); err != nil {
		t.Fatal(err)
	}
}

// TestBootReadsItsVersion: an instance gets what its release was given, whatever
// was put since; one of a release that names no version gets what is current.
func TestBootReadsItsVersion(t *testing.T) {
	t.Parallel()
	m := awstest.StartMoto(t)
	const name = "bistro/production/service/till"
	keep(t, m, name, map[string]string{"TOKEN": "current", "OTHER": "current"})
	one, two := strings.Repeat("1", 32), strings.Repeat("2", 32)
	putVersion(t, m, name, one, map[string]string{"TOKEN": "one", "OTHER": "one"})
	putVersion(t, m, name, two, map[string]string{"TOKEN": "two", "OTHER": "two"})
	for version, want := range map[string]string{one: "one", two: "two", "": "current"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			i := newInstance(t, m.URL)
			u := released(8080)
			u.Env = map[string][]convention.Piece{"TOKEN": {{Text: "Bearer "}, {Secret: name, Key: "TOKEN", Version: version}}, "OTHER": {{Secret: name, Key: "OTHER", Version: version}}}
			if said, err := i.boot(t, u); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			got := parseEnvironment(t, i.file(t, "run/env"))
			if got["TOKEN"] != "Bearer "+want || got["OTHER"] != want {
				t.Errorf("it starts with %v", got)
			}
			if document := *i.userData.Load(); strings.Contains(document, `"godwit":2`) != (version != "") {
				t.Errorf("an older machine image would take it wrong, or refuse it for nothing: %s", document)
			}
		})
	}
}

func (i *instance) file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(i.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parseEnvironment reads what systemd.exec(5) says an EnvironmentFile is, as far
// as values in double quotes go.
func parseEnvironment(t *testing.T, text string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for text != "" {
		name, rest, ok := strings.Cut(text, `="`)
		if !ok {
			t.Fatalf("no assignment: %q", text)
		}
		var value strings.Builder
		at := 0
		for ; rest[at] != '"'; at++ {
			if rest[at] == '\\' && strings.IndexByte("\"\\`$", rest[at+1]) >= 0 {
				at++
			}
			value.WriteByte(rest[at])
		}
		all[name] = value.String()
		text = strings.TrimPrefix(rest[at+1:], "\n")
	}
	return all
}

// TestBootRefuses: each failure says what to mend, and the service never starts.
func TestBootRefuses(t *testing.T) {
	t.Parallel()
	m := awstest.StartMoto(t)
	keep(t, m, "text", "not an object")
	keep(t, m, "few", map[string]string{"a": "b"})
	with := func(change func(*convention.UserData)) convention.UserData {
		u := released(8080)
		change(&u)
		return u
	}
	secret := func(name, key string) convention.UserData {
		return with(func(u *convention.UserData) {
			u.Env = map[string][]convention.Piece{"X": {{Secret: name, Key: key}}}
		})
	}
	version := func(name, version, key string) convention.UserData {
		return with(func(u *convention.UserData) {
			u.Env = map[string][]convention.Piece{"X": {{Secret: name, Key: key, Version: version}}}
		})
	}
	putVersion(t, m, "few", strings.Repeat("1", 32), map[string]string{"b": "c"})
	for name, c := range map[string]struct {
		userData any
		want     string
	}{
		"no user data":        {"", "without user data"},
		"not JSON":            {"#cloud-config\n", "not godwit's"},
		"another's JSON":      {`{"a": 1}`, "version None"},
		"a list":              {`[]`, "version None"},
		"a later version":     {`{"godwit": 4}`, "bake the image again"},
		"an older version":    {`{"godwit": 0}`, "bake the image again"},
		"half":                {`{"godwit": 1}`, "lacks or mistypes"},
		"another image":       {with(func(u *convention.UserData) { u.Release.Image = "sha256:bbbb" }), "names the wrong AMI"},
		"another service":     {with(func(u *convention.UserData) { u.Service = "menu" }), "names the wrong AMI"},
		"another landscape":   {with(func(u *convention.UserData) { u.Landscape = "cafe" }), "names the wrong AMI"},
		"no such secret":      {secret("nowhere", "x"), "ResourceNotFoundException"},
		"secret of no object": {secret("text", "x"), "no JSON object"},
		"secret without key":  {secret("few", "x"), "has no key x"},
		"no such version":     {version("few", strings.Repeat("9", 32), "a"), "ResourceNotFoundException"},
		"version without key": {version("few", strings.Repeat("1", 32), "x"), "version " + strings.Repeat("1", 32) + " of secret few has no key x"},
		"bad name":            {with(func(u *convention.UserData) { u.Env = map[string][]convention.Piece{"A=B": {{Text: "x"}}} }), "name of a variable"},
		"NUL":                 {with(func(u *convention.UserData) { u.Env = map[string][]convention.Piece{"A": {{Text: "x\x00y"}}} }), "NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstance(t, m.URL)
			said, err := i.boot(t, c.userData)
			if err == nil || !strings.Contains(said, "FAILED: ") || !strings.Contains(said, c.want) || strings.Contains(said, "Traceback") {
				t.Errorf("%v: %s", err, said)
			}
			if _, err := os.Stat(filepath.Join(i.dir, "run/env")); err == nil {
				t.Error("it left an environment")
			}
		})
	}
}

// group is an emulator that also knows lifecycle actions, which moto does not.
func group(t *testing.T, m awstest.Moto) (endpoint string, calls chan url.Values) {
	t.Helper()
	to, err := url.Parse(m.URL)
	if err != nil {
		t.Fatal(err)
	}
	calls = make(chan url.Values, 1000)
	proxy := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		form, _ := url.ParseQuery(string(b))
		action := form.Get("Action")
		calls <- form
		if action == "CompleteLifecycleAction" || action == "RecordLifecycleActionHeartbeat" {
			w.Header().Set("Content-Type", "text/xml")
			_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><%[1]sResult/><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></%[1]sResponse>`, action)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

// served is a service on loopback whose health can be changed.
func served(t *testing.T) (port int, healthy *atomic.Bool) {
	t.Helper()
	healthy = &atomic.Bool{}
	healthy.Store(true)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" || !healthy.Load() {
			http.Error(w, "sick", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port, healthy
}

// agent runs the agent until the test ends; wait returns its exit.
func (i *instance) agent(t *testing.T, port int, env ...string) (wait func() error, said *bytes.Buffer) {
	t.Helper()
	return i.agentOf(t, released(port), env...)
}

func (i *instance) agentOf(t *testing.T, u convention.UserData, env ...string) (wait func() error, said *bytes.Buffer) {
	t.Helper()
	if said, err := i.boot(t, u); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	<-i.asked
	<-i.asked
	cmd := i.program(t.Context(), "agent", append(env, "GODWIT_TICK=0.05", "GODWIT_PATIENCE=30")...)
	said = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() { done <- cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("agent: %s", said)
		}
	})
	return func() error { return <-done }, said
}

// TestAgentMends: a sick service is restarted, and one that stays dead is replaced.
func TestAgentMends(t *testing.T) {
	t.Parallel()
	endpoint, calls := group(t, awstest.StartMoto(t))
	i := newInstance(t, endpoint)
	port, healthy := served(t)
	healthy.Store(false)
	i.agent(t, port, "GODWIT_REPORT_AGAIN=0.1", "GODWIT_START=0")
	for n := range 3 {
		if a, b := <-i.asked, <-i.asked; a != "systemctl reset-failed godwit-service.service" || b != "systemctl restart godwit-service.service" {
			t.Fatalf("restart %d: asked %q, %q", n, a, b)
		}
	}
	for range 2 { // moto does not know the instance: it goes on telling
		c := <-calls
		if c.Get("Action") != "SetInstanceHealth" || c.Get("InstanceId") != instanceID || c.Get("HealthStatus") != "Unhealthy" {
			t.Fatalf("%v", c)
		}
	}
	healthy.Store(true)
}

// TestAgentWaitsForStart: a service that takes longer to start than one health
// check may take is not restarted over and over.
func TestAgentWaitsForStart(t *testing.T) {
	t.Parallel()
	endpoint, _ := group(t, awstest.StartMoto(t))
	i := newInstance(t, endpoint)
	looks := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		select {
		case looks <- struct{}{}:
		case <-t.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	i.agent(t, s.Listener.Addr().(*net.TCPAddr).Port, "GODWIT_START=600")
	for range 12 { // three misses in a row would be enough
		<-looks
	}
	select {
	case asked := <-i.asked:
		t.Errorf("%s while it starts", asked)
	default:
	}
}

// TestAgentLeaves: an instance that is to go goes when its last connection has
// ended, in order.
func TestAgentLeaves(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]bool{"drained": false, "past its deadline": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint, calls := group(t, awstest.StartMoto(t))
			i := newInstance(t, endpoint)
			port, _ := served(t)
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			deadline := "60"
			if cut {
				deadline = "0.5"
			}
			wait, said := i.agent(t, port, "GODWIT_QUIET=0.2", "GODWIT_HEARTBEAT=0.1", "GODWIT_DRAIN="+deadline)
			state := "Terminated"
			i.state.Store(&state)
			beat := <-calls
			if beat.Get("Action") != "RecordLifecycleActionHeartbeat" {
				t.Fatalf("while a connection is open: %v", beat)
			}
			select {
			case asked := <-i.asked:
				if !cut {
					t.Fatalf("%s with a connection open", asked)
				}
				i.asked <- asked
			default:
			}
			if !cut {
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if stop := <-i.asked; stop != "systemctl stop godwit-service.service" {
				t.Errorf("asked %q", stop)
			}
			if err := wait(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			var last url.Values
			for len(calls) > 0 {
				last = <-calls
			}
			if last.Get("Action") != "CompleteLifecycleAction" || last.Get("LifecycleActionResult") != "CONTINUE" || last.Get("LifecycleHookName") != "drain" ||
				last.Get("AutoScalingGroupName") != "bistro-production-till-blue" || last.Get("InstanceId") != instanceID {
				t.Errorf("%v", last)
			}
			if cut != strings.Contains(said.String(), "are cut") {
				t.Errorf("%s", said)
			}
		})
	}
}

// TestScripts: what runs on the machine is clean for those who look at scripts.
func TestScripts(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command(awstest.Tool(t, "shellcheck"), "machine/provision.sh").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, name := range []string{"bin/boot", "bin/agent", "lib/machine.py"} {
		// Compiled in memory: nothing is left beside it.
		check := "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 9))"
		if out, err := exec.Command("/usr/bin/python3", "-c", check, "machine/"+name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
