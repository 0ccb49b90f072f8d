//go:build linux

package local_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"godwit/internal/confine"
	"godwit/internal/site"
	"godwit/internal/site/local/postgres"
)

// source is a data centre's Postgres, and where it is.
func source(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(shared.dir, "source")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	s, err := postgres.Start(t.Context(), shared.postgres, postgres.ServerOptions{Dir: dir, AdminPassword: "secret", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
}

// relays: both sides get an answer of the other's.
func (b *bench) relays() bool {
	b.Helper()
	state, err := b.RelayState(b.Context(), "test", "till")
	b.ok(err)
	return state.ToSource == nil && state.ToTarget == nil
}

func (b *bench) relayPid() int {
	b.Helper()
	log := filepath.Join(b.config.StateDir, "records", "test.till.relay.log")
	stats, err := filepath.Glob("/proc/[0-9]*/fd/2")
	b.ok(err)
	for _, path := range stats {
		if to, err := os.Readlink(path); err == nil && to == log {
			pid, err := strconv.Atoi(strings.Split(path, "/")[2])
			b.ok(err)
			return pid
		}
	}
	b.Fatal("no relay runs")
	return 0
}

// TestRelayFollowsItsEnvironment: however quickly an environment is replaced, the
// relay that was open is open into the new one, by itself.
func TestRelayFollowsItsEnvironment(t *testing.T) {
	times := 6
	if os.Getenv("GODWIT_SOAK") != "" {
		times = 50
	}
	b := newBench(t)
	b.apply(bistro(), "test")
	_, err := b.OpenRelay(t.Context(), "test", "till", source(t))
	b.ok(err)
	b.await("relaying", b.relays)
	for n := range times {
		b.killWarden("test")
		b.ok(b.Revive(t.Context(), "test"))
		b.await("relaying after death "+strconv.Itoa(n+1), b.relays)
	}
}

// TestRelayIsKept: one that has died or hangs is replaced, with the addresses that
// it had.
func TestRelayIsKept(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	from := source(t)
	opened, err := b.OpenRelay(t.Context(), "test", "till", from)
	b.ok(err)
	keep := func() bool {
		b.ok(b.KeepRelays(t.Context(), "test", func(context.Context) error {
			t.Error("somebody is told of an address that is the same")
			return nil
		}))
		return b.relays()
	}
	b.await("relaying", keep)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		before := b.relayPid()
		b.ok(syscall.Kill(before, signal))
		b.await("not relaying", func() bool { return !b.relays() })
		b.await("relaying again", keep)
		if b.relayPid() == before {
			t.Errorf("after %v it is the same process", signal)
		}
	}
	state, err := b.RelayState(t.Context(), "test", "till")
	b.ok(err)
	if state.Relay != opened {
		t.Errorf("opened as %v, now %v", opened, state.Relay)
	}
}

// TestRelayTakesAnotherPort: where somebody else has its port, it takes another
// one, and whoever keeps it tells the other side until that has worked.
func TestRelayTakesAnotherPort(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	from := source(t)
	opened, err := b.OpenRelay(t.Context(), "test", "till", from)
	b.ok(err)
	b.ok(syscall.Kill(b.relayPid(), syscall.SIGKILL))
	var taken net.Listener
	b.await("free", func() bool {
		taken, err = net.Listen("tcp", opened.Target)
		return err == nil
	})
	defer taken.Close()
	told := 0
	tell := func(context.Context) error {
		if told++; told == 1 {
			return errors.New("not now")
		}
		return nil
	}
	if err := b.KeepRelays(t.Context(), "test", tell); err == nil || told != 1 {
		t.Errorf("told %d times, and then: %v", told, err)
	}
	for range 2 {
		b.ok(b.KeepRelays(t.Context(), "test", tell))
	}
	if told != 2 {
		t.Errorf("told %d times, want once that failed and once that did not", told)
	}
	b.await("relaying", b.relays)
	now, err := b.OpenRelay(t.Context(), "test", "till", from)
	b.ok(err)
	if now.Target == opened.Target || now.Source != opened.Source {
		t.Errorf("opened as %v, now %v", opened, now)
	}
}

// TestRelayWithoutSource: a relay into nothing says so, and of which side.
func TestRelayWithoutSource(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	if _, err := b.RelayState(t.Context(), "test", "till"); !errors.Is(err, site.ErrNotFound) {
		t.Errorf("one that is not open: %v", err)
	}
	_, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	b.ok(err)
	state, err := b.RelayState(t.Context(), "test", "till")
	b.ok(err)
	if state.ToSource == nil || state.ToTarget != nil {
		t.Errorf("%+v", state)
	}
}

// TestRelayConfined: a relay has ids of its own, no capability and no way to get
// one, a filter of system calls and no environment, and relays.
func TestRelayConfined(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	_, err := b.OpenRelay(t.Context(), "test", "till", source(t))
	b.ok(err)
	b.await("relaying", b.relays)
	proc := "/proc/" + strconv.Itoa(b.relayPid())
	status, err := os.ReadFile(proc + "/status")
	b.ok(err)
	want := []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapInh:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}
	if os.Geteuid() == 0 {
		id := strconv.Itoa(confine.RelayID(filepath.Join(b.config.StateDir, "w", "test")))
		ids := strings.Join([]string{id, id, id, id}, "\t")
		want = append(want, "Uid:\t"+ids, "Gid:\t"+ids, "Groups:\t ", "CapBnd:\t0000000000000000")
	}
	for _, line := range want {
		if !strings.Contains(string(status), "\n"+line+"\n") {
			t.Errorf("the relay has not %q:\n%s", line, status)
		}
	}
	if environ, err := os.ReadFile(proc + "/environ"); err != nil || len(environ) > 0 {
		t.Errorf("its environment: %q, %v", environ, err)
	}
}
