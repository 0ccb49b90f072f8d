//go:build linux

package packer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"godwit/internal/image"
	"godwit/internal/landscape"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
	"godwit/internal/testtool"
)

// plant is a store with the image of a small Go service in it.
func plant(t *testing.T) (*image.Store, string) {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	if err := os.CopyFS(source, os.DirFS("testdata/service")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(source, "main.go.txt"), filepath.Join(source, "main.go")); err != nil {
		t.Fatal(err)
	}
	store, err := image.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := store.Build(t.Context(), source, landscape.Build{Dir: ".", Entrypoint: []string{"/bin/till", "--greeting", "100% \"fresh\" $PRICE"},
		Command: []string{"sh", "-c", "GOWORK=off go build -trimpath -o $OUT/bin/till main.go && mkdir -p $OUT/etc && echo menu >$OUT/etc/menu && ln -s /etc/menu $OUT/menu"}}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return store, digest
}

type transcript struct {
	mu    sync.Mutex
	lines []string
	on    func(line string)
}

func (p *transcript) line(s string) {
	p.mu.Lock()
	p.lines = append(p.lines, s)
	p.mu.Unlock()
	if p.on != nil {
		p.on(s)
	}
}

func (p *transcript) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

func options(t *testing.T, m awstest.Moto, p *transcript) Options {
	return Options{Packer: awstest.Tool(t, "packer"), Temp: t.TempDir(), Progress: p.line, EC2: ec2.NewFromConfig(m.Config(t)),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDNOTREAL", "secret-not-real", "token-not-real")}
}

func bakeOf(digest string, m awstest.Moto) Bake {
	return Bake{Landscape: "bistro", Service: "till", Digest: digest, Commit: "0123abc", Region: awstest.Region, Emulator: &Emulator{Endpoint: m.URL}}
}

// TestBake: real Packer, a real ssh connection, the real script, on a builder
// that is no machine; EC2 is moto.
func TestBake(t *testing.T) {
	t.Parallel()
	store, digest := plant(t)
	m := awstest.StartMoto(t)
	machine := newBuilder(t, m)
	bake := bakeOf(digest, m)
	bake.Emulator.Shell = machine.shell
	endpoint, calls := group(t, m)
	bake.Emulator.Endpoint = endpoint
	said := &transcript{}
	o := options(t, m, said)
	ami, err := Run(t.Context(), store, bake, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Run("the image is tagged", func(t *testing.T) { checkAMI(t, m, ami, digest) })
	t.Run("it is permitted", func(t *testing.T) { checkPermissions(t, calls) })
	t.Run("nothing is left", func(t *testing.T) { checkNothingLeft(t, m, o.Temp) })
	t.Run("no secret is said", func(t *testing.T) {
		if s := said.String(); strings.Contains(s, "not-real") || !strings.Contains(s, "godwit: baked") {
			t.Errorf("it said:\n%s", s)
		}
	})
	t.Run("the root file system is the local one", func(t *testing.T) { checkRootfs(t, store, machine, digest) })
	t.Run("the machine is hard", func(t *testing.T) { checkMachine(t, machine, ami) })
	t.Run("units are sound", func(t *testing.T) { checkUnits(t, machine) })
	t.Run("baked once", func(t *testing.T) {
		o.Packer = "/nonexistent/packer" // it is not asked again
		again, err := Run(t.Context(), store, bake, o)
		if err != nil || again.ID != ami.ID || !again.Found || string(again.Bill) != string(ami.Bill) {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

func checkAMI(t *testing.T, m awstest.Moto, ami AMI, digest string) {
	out, err := ec2.NewFromConfig(m.Config(t)).DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{ami.ID}})
	if err != nil {
		t.Fatal(err)
	}
	snapshots, err := ec2.NewFromConfig(m.Config(t)).DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: ami.Snapshots})
	if err != nil || len(snapshots.Snapshots) != 1 {
		t.Fatalf("%v, %v", snapshots, err)
	}
	for what, tags := range map[string][]types.Tag{"AMI": out.Images[0].Tags, "snapshot": snapshots.Snapshots[0].Tags} {
		got := map[string]string{}
		for _, tag := range tags {
			got[*tag.Key] = *tag.Value
		}
		for name, want := range map[string]string{convention.TagImage: digest, convention.TagService: "till", convention.TagLandscape: "bistro",
			convention.TagCommit: "0123abc", convention.TagSBOM: "sha256:", convention.TagRecipe: "sha256:", convention.TagReads: "3", convention.TagBase: "ami-", convention.TagBakedAt: "20"} {
			if !strings.HasPrefix(got[name], want) {
				t.Errorf("%s: tag %s is %q", what, name, got[name])
			}
		}
	}
	if ami.Image != digest || ami.Found || ami.SBOM != digestOf(ami.Bill) || ami.Recipe == "" || ami.Base == "" {
		t.Errorf("%+v", ami)
	}
}

// checkPermissions compares what Packer asked with what docs and policies say it may.
func checkPermissions(t *testing.T, calls chan url.Values) {
	if len(calls) < 10 {
		t.Errorf("only %d calls", len(calls))
	}
	for len(calls) > 0 {
		if action := (<-calls).Get("Action"); !slices.Contains(permissions(), "ec2:"+action) {
			t.Errorf("Packer calls %s, and no policy would let it", action)
		}
	}
}

func digestOf(b []byte) string { return digest(b) }

func checkNothingLeft(t *testing.T, m awstest.Moto, temp string) {
	client := ec2.NewFromConfig(m.Config(t))
	out, err := client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			if i.State.Name != types.InstanceStateNameTerminated {
				t.Errorf("%s is %s", *i.InstanceId, i.State.Name)
			}
		}
	}
	keys, err := client.DescribeKeyPairs(t.Context(), &ec2.DescribeKeyPairsInput{})
	if err != nil || len(keys.KeyPairs) > 0 {
		t.Errorf("key pairs are left: %v, %v", keys, err)
	}
	groups, err := client.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups.SecurityGroups {
		if strings.HasPrefix(*g.GroupName, "packer") {
			t.Errorf("security group %s is left", *g.GroupName)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func checkRootfs(t *testing.T, store *image.Store, machine *builder, digest string) {
	local, err := store.Unpack(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	want, got := listing(t, local.Rootfs), listing(t, filepath.Join(machine.root, "opt/godwit/image/rootfs"))
	if len(want) < 5 || !slices.Equal(want, got) {
		t.Errorf("locally %q\non AWS %q", want, got)
	}
}

// listing is everything in a directory: names, modes, contents.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		switch d.Type() {
		case 0:
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			content = digestOf(b)
		case fs.ModeSymlink:
			content, err = os.Readlink(name)
		}
		rel, _ := filepath.Rel(dir, name)
		all = append(all, fmt.Sprintf("%s %v %s", rel, info.Mode(), content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func checkMachine(t *testing.T, machine *builder, ami AMI) {
	for _, gone := range []string{"root/.ssh/authorized_keys", "home/ec2-user/.ssh/authorized_keys", "etc/ssh/ssh_host_rsa_key", "var/tmp/godwit", "var/log/journal/x"} {
		if _, err := os.Lstat(filepath.Join(machine.root, gone)); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, unit := range []string{"sshd.service", "sshd.socket", "dnf-makecache.timer", "serial-getty@ttyS0.service"} {
		if to, _ := os.Readlink(filepath.Join(machine.root, "etc/systemd/system", unit)); to != "/dev/null" {
			t.Errorf("%s is not masked but leads to %q", unit, to)
		}
	}
	for _, link := range []string{"multi-user.target.wants/godwit-boot.service", "multi-user.target.wants/godwit-service.service",
		"multi-user.target.wants/godwit-agent.service", "multi-user.target.wants/godwit-log.service", "multi-user.target.wants/godwit-metrics.service",
		"sysinit.target.wants/godwit-firewall.service", "timers.target.wants/godwit-rotate.timer"} {
		if _, err := os.Lstat(filepath.Join(machine.root, "etc/systemd/system", link)); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]string{"etc/shadow": "root:!", "etc/passwd": "godwit:x:5990:", "etc/machine-id": "", "etc/cloud/cloud.cfg.d/99-godwit.cfg": "allow_userdata: false",
		"etc/sysctl.d/90-godwit.conf": "kernel.core_pattern", "opt/godwit/image.json": ami.Image, "test/dnf.log": "amazon-cloudwatch-agent", "opt/godwit/sbom.json": string(ami.Bill)} {
		content, ok := machine.file(name)
		if !ok || !strings.Contains(content, want) || name == "etc/machine-id" && content != "" {
			t.Errorf("%s: %t, %q lacks %q", name, ok, content, want)
		}
	}
	for name, want := range map[string]fs.FileMode{"opt/godwit/bin/boot": 0o755, "opt/godwit/bin/agent": 0o755, "opt/godwit/lib/machine.py": 0o644} {
		if info, err := os.Stat(filepath.Join(machine.root, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	machine.run(t, "nft", "-f", "/opt/godwit/firewall.nft") // in a network namespace of its own
}

// checkUnits has systemd itself read the units, where they ended up.
func checkUnits(t *testing.T, machine *builder) {
	for _, program := range []string{"opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"} {
		place := filepath.Join(machine.root, program)
		if err := errors.Join(os.MkdirAll(filepath.Dir(place), 0o755), os.WriteFile(place, []byte("#!/bin/sh\n"), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, unit := range []string{"firewall.service", "boot.service", "service.service", "agent.service", "log.service", "metrics.service", "rotate.timer"} {
		out, err := machine.command(t, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "/etc/systemd/system/godwit-"+unit).CombinedOutput()
		// It looks for the program on the machine and not below RootDirectory.
		told := strings.TrimSpace(strings.Replace(string(out), "godwit-service.service: Command /bin/till is not executable: No such file or directory", "", 1))
		if told != "" || err != nil && unit != "service.service" {
			t.Errorf("%s: %v: %s", unit, err, out)
		}
	}
	// Exposure in tenths, of ten: systemd's own measure. What is left is the network, which it serves.
	out, err := machine.command(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", "/etc/systemd/system/godwit-service.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestBuilderRefuses: what the script on the builder finds wrong ends the bake,
// before it has changed anything, and is what the caller is told.
func TestBuilderRefuses(t *testing.T) {
	t.Parallel()
	store, digest := plant(t)
	m := awstest.StartMoto(t)
	machine := newBuilder(t, m)
	if err := os.WriteFile(filepath.Join(machine.root, "etc/os-release"), []byte("ID=debian\nVERSION_ID=12\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := listing(t, filepath.Join(machine.root, "etc"))
	bake := bakeOf(digest, m)
	bake.Emulator.Shell = machine.shell
	o := options(t, m, &transcript{})
	_, err := Run(t.Context(), store, bake, o)
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "the base is debian 12") {
		t.Error(err)
	}
	if after := listing(t, filepath.Join(machine.root, "etc")); !slices.Equal(before, after) {
		t.Errorf("it changed the machine: %q", after)
	}
	checkNothingLeft(t, m, o.Temp)
	// The same for what arrives broken.
	from := filepath.Join(machine.root, "var/tmp/broken")
	if err := errors.Join(os.MkdirAll(filepath.Join(from, "files"), 0o755), os.WriteFile(filepath.Join(from, rootfsFile), []byte("x"), 0o644),
		os.WriteFile(filepath.Join(from, provisionFile), must(machineFile(provisionFile))(t), 0o755),
		os.WriteFile(filepath.Join(machine.root, "etc/os-release"), []byte("ID=amzn\nVERSION_ID=2023\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	out, err := machine.command(t, "env", "FROM=/var/tmp/broken", "ROOTFS="+strings.Repeat("0", 64), "/var/tmp/broken/"+provisionFile).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "bake again") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(machine.root, "opt/godwit")); err == nil {
		t.Error("it went on")
	}
}

func machineFile(name string) ([]byte, error) { return machine.ReadFile("machine/" + name) }

// TestInterrupt: when the caller goes, Packer removes its builder, and the error
// says where to look.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	store, digest := plant(t)
	m := awstest.StartMoto(t)
	ctx, cancel := context.WithCancel(t.Context())
	said := &transcript{on: func(line string) {
		if strings.Contains(line, "Waiting for instance") {
			cancel()
		}
	}}
	o := options(t, m, said)
	o.Grace = time.Minute
	_, err := Run(ctx, store, bakeOf(digest, m), o)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "tag:"+convention.TagBake) {
		t.Fatalf("%v\n%s", err, said)
	}
	checkNothingLeft(t, m, o.Temp)
	images, err := list(t.Context(), o.EC2, map[string]string{convention.TagService: "till"})
	if err != nil || len(images) > 0 {
		t.Errorf("%v, %v", images, err)
	}
}

// TestRefusals: each says what is wrong and what to do, and leaves nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	store, digest := plant(t)
	m := awstest.StartMoto(t)
	for name, c := range map[string]struct {
		change func(b *Bake, o *Options)
		kind   error
		want   string
	}{
		"no such image":     {func(b *Bake, _ *Options) { b.Digest = "sha256:" + strings.Repeat("0", 64) }, image.ErrNotFound, "build it first"},
		"no packer":         {func(_ *Bake, o *Options) { o.Packer = "/nonexistent/packer" }, ErrTool, "apt-get install packer"},
		"old packer":        {func(_ *Bake, o *Options) { o.Packer = fake(t, `echo "1,,version,1.5.1"`) }, ErrTool, "1.6.6 or later"},
		"what is no packer": {func(_ *Bake, o *Options) { o.Packer = "/bin/true" }, ErrTool, "does not tell its version"},
		"no credentials":    {func(_ *Bake, o *Options) { o.Credentials = nil }, ErrRefused, "aws sso login"},
		"base gone":         {func(b *Bake, _ *Options) { b.Base.ID = "ami-0123456789abcdef0" }, ErrRefused, "base is gone"},
		"no base of the name": {func(b *Bake, _ *Options) { b.Base = Base{Name: "nothing-*", Owner: "amazon"} }, ErrRefused,
			"no base matches"},
		"expired": {func(_ *Bake, o *Options) {
			o.Packer = fake(t, `case "$*" in *version*) echo "1,,version,1.6.6";; *build*) echo "1,,ui,error,Build 'amazon-ebs.godwit' errored: ExpiredToken: the security token has expired"; exit 1;; esac`)
		}, ErrRefused, "log in again"},
		"quota": {func(_ *Bake, o *Options) {
			o.Packer = fake(t, `case "$*" in *version*) echo "1,,version,1.6.6";; *build*) echo "1,,ui,error,VcpuLimitExceeded: You have requested more"; exit 1;; esac`)
		}, ErrRefused, "Service Quotas"},
		"new packer without plugins": {func(_ *Bake, o *Options) {
			o.Packer = fake(t, `case "$*" in *version*) echo "1,,version,1.11.2";; *init*) test -f plugins.pkr.hcl && echo "1,,ui,error,no plugin"; exit 1;; esac`)
		}, ErrFailed, "packer init"},
		"no way in": {func(b *Bake, _ *Options) { b.Emulator = nil }, ErrInvalid, "in one way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, said := bakeOf(digest, m), &transcript{}
			o := options(t, m, said)
			c.change(&b, &o)
			_, err := Run(t.Context(), store, b, o)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\n%s", err, said)
			}
			if left, err := os.ReadDir(o.Temp); err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

// fake is a program that says what Packer says when AWS refuses in ways that the
// emulator does not know.
func fake(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "packer")
	testtool.Write(t, name, "#!/bin/sh\n"+script+"\n")
	return name
}
