package pipeline

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/testtool"
)

var update = flag.Bool("update", false, "write the golden files anew")

func render(t testing.TB, l *landscape.Landscape, p landscape.Pipeline, o Jenkins) []byte {
	t.Helper()
	text, err := RenderJenkins(l, p, o)
	if err != nil {
		t.Fatal(err)
	}
	again := must(RenderJenkins(l, p, o))
	if !bytes.Equal(text, again) {
		t.Error("rendered twice, and different")
	}
	return text
}

func TestJenkinsGolden(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Jenkins{
		"local": {Dir: ".", Site: "local", Agent: "godwit"},
		"aws": {Dir: "examples/bistro", Site: "aws", Agent: "linux && godwit", Submitter: "ops,lead",
			Bake: []string{"--bake-subnet=subnet-1", "--bake-from=203.0.113.7/32"}, Keep: 7},
	} {
		path := filepath.Join("testdata", name+".jenkins")
		got := render(t, bistro(), wholePipeline(), o)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not as it was (go test -run TestJenkinsGolden -update writes it anew, if that is right): %v\n%s", path, err, got)
		}
	}
}

// hostile is a landscape whose texts try to get out of every kind of string.
func hostile() (*landscape.Landscape, landscape.Pipeline) {
	const evil = `'; sh "touch /tmp/evil" // \u0027 \' ''' """ $X ${X} */ \`
	l := bistro()
	l.Name = "b\n" + evil
	p := wholePipeline()
	p.Name = evil
	for i := range p.Stages {
		p.Stages[i].Name = fmt.Sprintf("%s %d", evil, i)
	}
	p.Services = []string{"till" + evil, "menu\n}"}
	p.Stages[5].Approve = "really?\n" + evil + "\x00\x1b"
	return l, p
}

// TestJenkins runs rendered Jenkinsfiles with JenkinsPipelineUnit, all scenarios
// in one JVM, and then the shell lines that came out with a shell.
func TestJenkins(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	aws := Jenkins{Dir: "examples/bistro", Site: "aws", Agent: "godwit", Submitter: "ops"}
	put("aws.jenkins", render(t, bistro(), wholePipeline(), aws))
	put("local.jenkins", render(t, bistro(), wholePipeline(), Jenkins{Dir: ".", Site: "local", Agent: "godwit"}))
	l, p := hostile()
	put("hostile.jenkins", render(t, l, p, Jenkins{Dir: "it's here", Site: "aws", Agent: "a'b", Submitter: "o'ps",
		Bake: []string{"--bake-from=203.0.113.7/32", "--bake-base=it's $X"}, Keep: 7}))
	first := wholePipeline()
	first.Stages = []landscape.Stage{{Name: "approve", Approve: "Really?", Timeout: time.Hour}, {Name: "build", Build: true}, {Name: "again", Approve: "Sure?", Timeout: time.Hour}}
	put("odd.jenkins", render(t, bistro(), first, aws))

	labels := []string{"test", "build/till", "build/menu", "bake/till", "bake/menu", "deploy-test/till", "deploy-test/menu", "smoke", "approve", "production/till", "production/menu"}
	put("whole.scenario", []byte("file=aws.jenkins\nparam.AGENT=big one\n"))
	put("local.scenario", []byte("file=local.jenkins\n"))
	put("hostile.scenario", []byte("file=hostile.jenkins\n"))
	put("odd.scenario", []byte("file=odd.jenkins\n"))
	put("denied.scenario", []byte("file=aws.jenkins\ndeny=jane\n"))
	put("lost.scenario", []byte("file=aws.jenkins\nlose=deploy-test/till\n"))
	for i, label := range labels {
		put(fmt.Sprintf("fail%d.scenario", i), []byte("file=aws.jenkins\nfail="+label+"\n"))
	}
	maven(t, dir)

	whole := readTrace(t, dir, "whole")
	if got := whole.shells(); !slices.Equal(got, labels) {
		t.Errorf("the whole build runs\n%q\nwant\n%q", got, labels)
	}
	whole.has(t, "node big one", "input Release to production? :: ops", "milestone 1", "result SUCCESS", "checkout scm", "unstash source",
		"timeout {time=6, unit=MINUTES}", "archive godwit-logs/**")
	whole.credentials(t)
	whole.sideBySide(t, "build", "bake", "deploy-test", "production")
	if n := slices.Index(whole, "input Release to production? :: ops"); slices.Contains(whole[n:], "checkout scm") {
		t.Error("what is released may be another commit than what was tested")
	}
	for i, label := range labels {
		readTrace(t, dir, fmt.Sprintf("fail%d", i)).failed(t, labels, label)
	}
	denied := readTrace(t, dir, "denied")
	denied.has(t, "result ABORTED", "post unsuccessful")
	if slices.ContainsFunc(denied.shells(), func(s string) bool { return strings.HasPrefix(s, "production") || s == "approve" }) {
		t.Errorf("denied, and then %q", denied.shells())
	}
	lost := readTrace(t, dir, "lost")
	lost.has(t, "retry", "result SUCCESS")
	if got := lost.shells(); strings.Count(strings.Join(got, " "), "deploy-test/till") != 2 || !slices.Contains(got, "production/menu") {
		t.Errorf("after a lost agent: %q", got)
	}
	readTrace(t, dir, "odd").has(t, "input Really? :: ops", "input Sure? :: ops", "milestone 2", "result SUCCESS")
	local := readTrace(t, dir, "local")
	local.has(t, "result SUCCESS")
	if text := strings.Join(local, "\n"); strings.Contains(text, "AWS") || strings.Contains(text, "bake") {
		t.Errorf("on site local there is no AWS:\n%s", text)
	}
	hostileShells(t, readTrace(t, dir, "hostile"), p)
	shells(t, whole)
}

// maven runs the project in jenkinstest, without the network when it can.
func maven(t *testing.T, scenarios string) {
	t.Helper()
	testtool.Find(t, "java")
	args := []string{"-q", "-B", "-f", "jenkinstest", "test", "-Dscenarios=" + scenarios, "-Djenkinstest.target=" + t.TempDir()}
	mvn := testtool.Find(t, "mvn")
	out, err := exec.CommandContext(t.Context(), mvn, append([]string{"-o"}, args...)...).CombinedOutput()
	if err != nil && bytes.Contains(out, []byte("offline")) {
		out, err = exec.CommandContext(t.Context(), mvn, args...).CombinedOutput()
	}
	if err != nil {
		t.Fatalf("mvn: %v\n%s", err, out)
	}
}

// trace is what happened in a build, line by line.
type trace []string

func readTrace(t *testing.T, dir, name string) trace {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name+".trace"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "S3CRET") {
		t.Errorf("%s: the value of a credential is to be seen:\n%s", name, text)
	}
	if !strings.Contains(string(text), "call sh ") {
		t.Errorf("%s: JenkinsPipelineUnit has recorded no call of sh", name)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func (tr trace) has(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !slices.Contains(tr, line) {
			t.Errorf("no %q in\n%s", line, strings.Join(tr, "\n"))
		}
	}
}

// shells are the labels of godwit's own sh calls, in order.
func (tr trace) shells() (labels []string) {
	for _, line := range tr {
		if label, _, ok := strings.Cut(strings.TrimPrefix(line, "sh "), " :: "); ok && strings.HasPrefix(line, "sh ") && label != "keep logs" {
			labels = append(labels, label)
		}
	}
	return labels
}

// scripts are their command lines, unescaped.
func (tr trace) scripts() (lines []string) {
	for _, line := range tr {
		if parts := strings.Split(line, " :: "); strings.HasPrefix(line, "sh ") && len(parts) == 3 {
			lines = append(lines, strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(parts[1]))
		}
	}
	return lines
}

// credentials are there for what reaches an environment, and for nothing else.
func (tr trace) credentials(t *testing.T) {
	t.Helper()
	for _, line := range tr {
		parts := strings.Split(line, " :: ")
		if !strings.HasPrefix(line, "sh ") || len(parts) != 3 {
			continue
		}
		needs := regexp.MustCompile(`^sh (bake|deploy|smoke|production)`).MatchString(line)
		for _, name := range []string{"GODWIT_TEST_TOKEN", "GODWIT_TEST_DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
			if has := slices.Contains(strings.Split(parts[2], ","), name); has != needs {
				t.Errorf("%s: has %s: %v", parts[0], name, has)
			}
		}
	}
	tr.has(t, "credential GODWIT_TEST_TOKEN bistro-godwit-test-token", "credential AWS_SECRET_ACCESS_KEY bistro-aws-secret-access-key")
}

// sideBySide: these stages have a branch per service.
func (tr trace) sideBySide(t *testing.T, stages ...string) {
	t.Helper()
	text := strings.Join(tr, "\n")
	for _, s := range stages {
		block := regexp.MustCompile(`(?s)\nparallel\nstage ` + s + ` till\n.*?\nstage ` + s + ` menu\n.*?\njoined\n`)
		if !block.MatchString(text) {
			t.Errorf("%s is not done side by side", s)
		}
	}
}

// failed: after a failure only the same stage's other branch runs; logs are kept
// and somebody is told how to go on.
func (tr trace) failed(t *testing.T, labels []string, failing string) {
	t.Helper()
	stage, _, _ := strings.Cut(failing, "/")
	var want []string
	for i, label := range labels {
		own, _, _ := strings.Cut(label, "/")
		if i <= slices.Index(labels, failing) || own == stage {
			want = append(want, label)
		}
	}
	if got := tr.shells(); !slices.Equal(got, want) {
		t.Errorf("%s fails: ran %q, want %q", failing, got, want)
	}
	tr.has(t, "result FAILURE", "post always", "archive godwit-logs/**", "post unsuccessful",
		"call echo To go on where it stopped, build again with RESUME=jenkins-bistro-7")
}

// shells runs the command lines with a godwit that prints its arguments.
func shells(t *testing.T, tr trace) {
	t.Helper()
	got := runShells(t, tr)
	want := []string{
		"[pipeline] [stage] [till] [test] [--dir] [examples/bistro] [--site] [aws] [--run] [jenkins-bistro-7]",
		"[pipeline] [stage] [till] [build] [--service] [till] [--dir] [examples/bistro] [--site] [aws] [--run] [jenkins-bistro-7]",
		"[pipeline] [stage] [till] [approve] [--approved-by] [jane's] [--dir] [examples/bistro] [--site] [aws] [--run] [jenkins-bistro-7]",
		"[pipeline] [logs] [jenkins-bistro-7] [--out] [godwit-logs]",
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("no call %s in\n%s", line, strings.Join(got, "\n"))
		}
	}
}

func runShells(t *testing.T, tr trace) []string {
	t.Helper()
	bin := t.TempDir()
	shim := "#!/bin/sh\nprintf '[%s] ' \"$@\" | tr '\\n' '~'; echo\n"
	testtool.Write(t, filepath.Join(bin, "godwit"), shim)
	var calls []string
	for _, line := range tr.scripts() {
		cmd := exec.CommandContext(t.Context(), "sh", "-xe", "-c", line)
		cmd.Dir = bin
		cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "BUILD_TAG=jenkins-bistro-7", "APPROVED_BY=jane's", "SECRET=S3CRET"}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", line, err, stderr.String())
		}
		if strings.Contains(stderr.String(), "godwit") {
			t.Errorf("the shell writes what it does: %s", stderr.String())
		}
		calls = append(calls, strings.TrimSpace(string(out)))
	}
	return calls
}

// hostileShells: texts arrive as they are, and as nothing else.
func hostileShells(t *testing.T, tr trace, p landscape.Pipeline) {
	t.Helper()
	tr.has(t, "result SUCCESS")
	calls := runShells(t, tr)
	for i, s := range p.Stages {
		for _, u := range units(p, i) {
			want := fmt.Sprintf("[pipeline] [stage] [%s] [%s] ", p.Name, s.Name)
			if u.Service != "" {
				want += "[--service] [" + strings.ReplaceAll(u.Service, "\n", "~") + "] "
			}
			if s.Approve != "" {
				want += "[--approved-by] [jane's] "
			}
			if s.Bake {
				want += "[--bake-from=203.0.113.7/32] [--bake-base=it's $X] "
			}
			want += "[--dir] [it's here] [--site] [aws] [--run] [jenkins-bistro-7] [--keep] [7]"
			if !slices.Contains(calls, want) {
				t.Errorf("no call\n%s\nin\n%s", want, strings.Join(calls, "\n"))
			}
		}
	}
	if _, err := os.Stat("/tmp/evil"); err == nil {
		t.Error("something of a name was run")
	}
}

// TestJenkinsRefuses what could not be a Jenkinsfile.
func TestJenkinsRefuses(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"class", "A-B", "A = 1; B", ""} {
		l := bistro()
		l.Services[0].Env = map[string]landscape.Value{"X": secretValue(name)}
		if text, err := RenderJenkins(l, wholePipeline(), Jenkins{Dir: ".", Site: "local"}); err == nil {
			t.Errorf("%q: %s", name, text)
		}
	}
	for _, o := range []Jenkins{{Site: "moon"}, {Site: "local", Bake: []string{"--bake-from=203.0.113.7/32"}}} {
		if _, err := RenderJenkins(bistro(), wholePipeline(), o); !errors.Is(err, ErrUsage) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
