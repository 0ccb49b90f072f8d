package packer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"godwit/internal/site/aws/convention"
)

// oldest is the Packer that the template is written for.
const oldest = "1.6.6"

// packer has Packer validate and build, and returns the AMI's id.
func (j job) packer(ctx context.Context) (string, error) {
	program, err := j.program()
	if err != nil {
		return "", err
	}
	env, secrets, err := j.environment(ctx)
	if err != nil {
		return "", err
	}
	call := func(words ...string) (output, error) { return j.call(ctx, program, env, secrets, words...) }
	out, err := call("version")
	if err != nil || out.version == "" {
		return "", errors.Join(fmt.Errorf("%w: %s does not tell its version", ErrTool, program), err)
	}
	if older(out.version, oldest) {
		return "", fmt.Errorf("%w: %s is of version %s, and %s or later is needed: install a newer one (apt-get install packer)",
			ErrTool, program, out.version, oldest)
	}
	if !older(out.version, "1.7.0") {
		if err := j.write(pluginsFile, plugins); err != nil {
			return "", err
		}
		if out, err := call("init", "."); err != nil {
			return "", j.explain(ctx, "packer init", out, err)
		}
	}
	if out, err := call("validate", "."); err != nil {
		return "", j.explain(ctx, "packer validate", out, err)
	}
	if out, err = call("build", "-color=false", "-on-error=cleanup", "."); err != nil {
		return "", j.explain(ctx, "packer build", out, err)
	}
	if out.artifact == "" {
		return "", fmt.Errorf("%w: Packer ended well, but named no AMI", ErrFailed)
	}
	return out.artifact, nil
}

func (j job) program() (string, error) {
	name := j.options.Packer
	if name == "" {
		name = "packer"
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %s is not installed: apt-get install packer, or say where it is", ErrTool, name)
	}
	return filepath.Abs(program)
}

// environment is what Packer sees: the caller's without anything of AWS or of
// Packer's log, which would show credentials; and the credentials themselves.
func (j job) environment(ctx context.Context) (env, secrets []string, err error) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "PACKER_LOG") && !strings.HasPrefix(e, "PKR_VAR_") {
			env = append(env, e)
		}
	}
	if j.options.Credentials == nil {
		return nil, nil, fmt.Errorf("%w: there are no credentials for AWS: run `aws configure` or `aws sso login`", ErrRefused)
	}
	c, err := j.options.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, nil, explainAPI("credentials", err)
	}
	env = append(env, "CHECKPOINT_DISABLE=1", "PACKER_NO_COLOR=1", "TMPDIR="+j.dir, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_DEFAULT_REGION="+j.bake.Region, "AWS_ACCESS_KEY_ID="+c.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+c.SecretAccessKey)
	secrets = append(secrets, c.SecretAccessKey)
	if c.SessionToken != "" {
		env = append(env, "AWS_SESSION_TOKEN="+c.SessionToken)
		secrets = append(secrets, c.SessionToken)
	}
	return env, secrets, nil
}

// call runs Packer once. It has a process group of its own: when the context
// ends, the group gets the one interrupt that a terminal would send, and Packer
// removes what it made. A terminal's own would be a second one, at which Packer
// drops everything.
func (j job) call(ctx context.Context, program string, env, secrets []string, words ...string) (output, error) {
	cmd := exec.CommandContext(ctx, program, append([]string{"-machine-readable"}, words...)...)
	cmd.Dir, cmd.Env = j.dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = j.options.Grace
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	read := make(chan output, 1)
	go func() { read <- j.read(r, secrets) }()
	err := cmd.Run()
	_ = w.Close()
	out := <-read
	if cmd.Process != nil {
		// Whoever of the group outlived it: builders are processes of their own.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return out, err
}

// output is what Packer said.
type output struct {
	version  string
	artifact string   // id of the AMI
	errors   []string // what it called errors
	last     string   // what it said at the end
}

// read reads what Packer says in its form for machines: time,target,kind,data…
func (j job) read(r io.Reader, secrets []string) output {
	var out output
	hide := hider(secrets)
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			j.take(&out, hide.Replace(line))
		}
		if err != nil {
			return out
		}
	}
}

func hider(secrets []string) *strings.Replacer {
	var pairs []string
	for _, s := range secrets {
		if s != "" {
			pairs = append(pairs, s, "…")
		}
	}
	return strings.NewReplacer(pairs...)
}

func (j job) take(out *output, line string) {
	unescape := strings.NewReplacer("%!(PACKER_COMMA)", ",", `\n`, "\n", `\r`, "")
	f := strings.Split(line, ",")
	for i := range f {
		f[i] = unescape.Replace(f[i])
	}
	switch {
	case len(f) >= 4 && f[2] == "version":
		out.version = strings.TrimPrefix(f[3], "v")
	case len(f) >= 6 && f[2] == "artifact" && f[4] == "id":
		// region:ami, one per region; there is one.
		_, out.artifact, _ = strings.Cut(f[5], ":")
	case len(f) >= 5 && f[2] == "ui":
		for said := range strings.SplitSeq(strings.Join(f[4:], ","), "\n") {
			if said = strings.TrimSpace(said); said == "" {
				continue
			}
			out.last = said
			if f[3] == "error" {
				out.errors = append(out.errors, strings.TrimPrefix(said, "==> amazon-ebs.godwit: "))
			}
			if f[3] != "error" || len(out.errors) < 100 {
				j.options.Progress(said)
			}
		}
	case len(f) < 3 || f[2] != "ui" && strings.ContainsAny(line, " "):
		out.last = line
	}
}

// leftovers say how to find what an interrupted bake may have left.
func (j job) leftovers() string {
	return fmt.Sprintf("Packer was asked to remove what it had made; if it could not, an instance with its volume, an AMI and a security group named packer_… "+
		"may be left, and cost money: aws ec2 describe-instances --region %s --filters Name=tag:%s,Values=%s", j.bake.Region, convention.TagBake, j.id)
}

// older compares versions such as 1.6.6.
func older(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, errM := strconv.Atoi(numeric(x[i]))
		n, errN := strconv.Atoi(numeric(y[i]))
		if errM != nil || errN != nil {
			return errM != nil // what is no number is not trusted
		}
		if m != n {
			return m < n
		}
	}
	return len(x) < len(y)
}

func numeric(s string) string {
	n, _, _ := strings.Cut(s, "-")
	return n
}
