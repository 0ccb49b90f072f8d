//go:build linux

package packer

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"godwit/internal/site/aws/awstest"
	"godwit/internal/testtool"
)

// builder plays the machine that Packer bakes: a root file system of its own in
// a directory of the test, in which nothing but /usr is this machine's, and that
// read-only. Every connection to it gets namespaces of its own, without a network.
type builder struct {
	root  string
	shell netip.AddrPort
	logs  string // sshd's
}

// enter makes the namespaces, leaves this machine's root file system for good,
// and runs what is given. /proc is read-only: no setting of the kernel changes.
const enter = `set -e
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount --bind /usr "$ROOT/usr"
mount -o remount,bind,ro "$ROOT/usr"
mount -t proc -o ro proc "$ROOT/proc"
for d in null zero random urandom; do mount --bind /dev/$d "$ROOT/dev/$d"; done
cd "$ROOT"
pivot_root . left
umount -l /left
unset ROOT
exec "$@"
`

func newBuilder(t *testing.T, m awstest.Moto) *builder {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make the namespaces that sshd needs")
	}
	b := &builder{root: t.TempDir()}
	b.furnish(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.shell = l.Addr().(*net.TCPAddr).AddrPort()
	b.serve(t, l, m)
	return b
}

// furnish makes the root file system of a machine just started from Amazon Linux
// 2023, as far as the bake can tell.
func (b *builder) furnish(t *testing.T) {
	t.Helper()
	for _, d := range []string{"usr", "proc", "left", "dev", "run/sshd", "etc/ssh", "etc/systemd/system", "root/.ssh", "home/ec2-user/.ssh", "tmp", "var/tmp", "var/log/journal/x", "var/empty", "test"} {
		if err := os.MkdirAll(filepath.Join(b.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"} {
		if err := os.Symlink(to, filepath.Join(b.root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"dev/null": "", "dev/zero": "", "dev/random": "", "dev/urandom": "",
		"etc/os-release":            "ID=amzn\nVERSION_ID=2023\n",
		"etc/passwd":                "root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\nec2-user:x:0:0::/home/ec2-user:/bin/sh\n",
		"etc/group":                 "root:x:0:\nnogroup:x:65534:\n",
		"etc/shadow":                "root::1::::::\nec2-user::1::::::\n",
		"etc/machine-id":            "0123456789abcdef0123456789abcdef\n",
		"etc/ssh/ssh_host_rsa_key":  "of the builder",
		"root/.ssh/authorized_keys": "somebody's\n",
		"test/dnf":                  "#!/bin/sh\necho \"$@\" >>/test/dnf.log\n",
		"test/sudo":                 "#!/bin/sh\nexec \"$@\"\n",
		"test/aws":                  "#!/bin/sh\n",
		"test/logrotate":            "#!/bin/sh\n",
		"test/sshd_config": "HostKey /test/host_key\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n" +
			"AuthorizedKeysFile /home/ec2-user/.ssh/authorized_keys\nSetEnv PATH=/test:/usr/sbin:/usr/bin\n",
	} {
		testtool.Write(t, filepath.Join(b.root, name), content)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(b.root, "test/host_key")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Debian's sshd, with the one library that it needs and that may lie beside it.
	sshd := awstest.Tool(t, "sshd")
	for _, name := range []string{"sshd", "libwrap.so.0"} {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(sshd), name))
		if err != nil {
			continue
		}
		testtool.Write(t, filepath.Join(b.root, "test", name), string(content))
	}
}

var authorized = regexp.MustCompile(`ssh-ed25519 \S+`)

// start does what the real one's start does: the key that the instance's user
// data names is let in.
func (b *builder) start(t *testing.T, m awstest.Moto) error {
	client := ec2.NewFromConfig(m.Config(t))
	out, err := client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
	if err != nil {
		return err
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			if i.State.Name != types.InstanceStateNameRunning {
				continue
			}
			a, err := client.DescribeInstanceAttribute(t.Context(), &ec2.DescribeInstanceAttributeInput{InstanceId: i.InstanceId, Attribute: types.InstanceAttributeNameUserData})
			if err != nil {
				return err
			}
			data, err := base64.StdEncoding.DecodeString(*a.UserData.Value)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(b.root, "home/ec2-user/.ssh/authorized_keys"), append(authorized.Find(data), '\n'), 0o600)
		}
	}
	return fmt.Errorf("no instance runs")
}

func (b *builder) serve(t *testing.T, l net.Listener, m awstest.Moto) {
	logs, err := os.Create(filepath.Join(t.TempDir(), "sshd.log"))
	if err != nil {
		t.Fatal(err)
	}
	b.logs = logs.Name()
	var once sync.Once
	var running sync.WaitGroup
	running.Add(1)
	go func() {
		defer running.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			once.Do(func() {
				if err := b.start(t, m); err != nil {
					t.Error(err)
				}
			})
			running.Add(1)
			go func() {
				defer running.Done()
				defer c.Close()
				f, err := c.(*net.TCPConn).File()
				if err != nil {
					t.Error(err)
					return
				}
				defer f.Close()
				cmd := b.command(t, "/test/sshd", "-i", "-e", "-f", "/test/sshd_config")
				cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, logs
				_ = cmd.Run()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(logs.Name())
			t.Logf("sshd: %s", b)
		}
		_ = logs.Close()
	})
}

// command runs something on the builder.
func (b *builder) command(t *testing.T, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", enter, "enter"}, words...)...)
	cmd.Env = []string{"ROOT=" + b.root, "PATH=/test:/usr/sbin:/usr/bin", "LD_LIBRARY_PATH=/test"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd
}

// run runs something on the builder to its end.
func (b *builder) run(t *testing.T, words ...string) string {
	t.Helper()
	out, err := b.command(t, words...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// file is the content of a file of the builder; ok is false when it is not there.
func (b *builder) file(name string) (content string, ok bool) {
	c, err := os.ReadFile(filepath.Join(b.root, name))
	return string(c), err == nil
}
