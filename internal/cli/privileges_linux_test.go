package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"godwit/internal/site/local/warden"
	"godwit/internal/watch"
)

// callersSecrets are in the environment of the command that calls godwit.
var callersSecrets = map[string]string{
	"AWS_ACCESS_KEY_ID": "AKIANOTFORGODWIT", "AWS_SECRET_ACCESS_KEY": "secret-of-aws", "AWS_SESSION_TOKEN": "secret-of-session",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret-of-container", "GODWIT_PASSWORD": "secret-of-godwit", "PGPASSWORD": "secret-of-postgres",
	"VAULT_TOKEN": "secret-of-vault",
}

// TestNoSecretInEnviron: whatever is in its caller's environment, no process of
// godwit has a secret in its own: as they are started, after a deployment, after
// deaths, and when a watchdog has started the engine.
func TestNoSecretInEnviron(t *testing.T) {
	for name, value := range callersSecrets {
		t.Setenv(name, value)
	}
	w := newWatched(t)
	w.noSecrets("after up")
	w.do("deploy", "tiny")
	w.noSecrets("after deploy")
	w.kill(syscall.SIGKILL, watch.Engine, watch.First)
	w.noSecrets("after a watchdog started the engine")
	w.do("status")
	w.kill(syscall.SIGKILL, watch.Second, watch.Gateway)
	w.noSecrets("after the engine started a watchdog")
}

// noSecrets looks at the environment of every process of the state directory, and
// of what these have started.
func (w *watched) noSecrets(when string) {
	w.Helper()
	w.all()
	for _, pid := range append(processesOf(w.state), w.supervisor()) {
		environ, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
		if err != nil {
			continue // it has ended
		}
		for name, value := range callersSecrets {
			if strings.Contains(string(environ), value) {
				w.Errorf("%s: process %d has %s in its environment: %q", when, pid, name, strings.Split(string(environ), "\x00"))
			}
		}
	}
}

// supervisor is the one of the landscape's environment.
func (w *watched) supervisor() int {
	w.Helper()
	pid, err := warden.Pid(filepath.Join(w.state, "env", "w", "production"))
	w.ok(err)
	return pid
}

// TestNoRightToSpare: engine and watchdogs have none of the capabilities that no
// environment is made with, cannot gain them, and have a filter of system calls;
// so has a supervisor. It holds for those that a watchdog has started too.
func TestNoRightToSpare(t *testing.T) {
	w := newWatched(t)
	w.spared("as started")
	w.kill(syscall.SIGKILL, watch.Engine, watch.Second)
	w.spared("after a kill")
}

// machine are the capabilities over the whole machine that nobody of godwit has:
// modules, hardware, reboot, clock, device files, packets as they are, BPF.
var machine = []uint{16, 17, 22, 25, 27, 13, 38, 39}

func (w *watched) spared(when string) {
	w.Helper()
	roles := w.all()
	delete(roles, watch.Gateway)
	roles["supervisor"] = w.supervisor()
	for role, pid := range roles {
		status := read(w.T, pid, "status")
		for _, line := range []string{"\nNoNewPrivs:\t1\n", "\nSeccomp:\t2\n"} {
			if !strings.Contains(status, line) {
				w.Errorf("%s: %s has not %q:\n%s", when, role, line, status)
			}
		}
		if os.Geteuid() != 0 && role != "supervisor" {
			continue // it has no capability at all
		}
		for _, set := range []string{"CapEff", "CapPrm", "CapBnd"} {
			_, rest, _ := strings.Cut(status, "\n"+set+":\t")
			have, err := strconv.ParseUint(strings.Fields(rest)[0], 16, 64)
			w.ok(err)
			for _, c := range machine {
				if have&(1<<c) != 0 {
					w.Errorf("%s: %s has capability %d in %s", when, role, c, set)
				}
			}
		}
	}
}
