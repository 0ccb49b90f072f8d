//go:build linux

package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/confine"
	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/local"
)

// TestRelayKilled: opened again it is at the same place, which the source's
// subscription names, and works.
func TestRelayKilled(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	first, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	b.ok(err)
	b.through(first.Target)
	b.ok(syscall.Kill(b.relay()["pid"].(int), syscall.SIGKILL))
	b.gone(b.relay()["pid"].(int))
	again, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	if err != nil || again != first {
		t.Fatalf("opened again at %+v, %v; was %+v", again, err, first)
	}
	b.through(again.Target)
}

// through asks the environment's database through the relay.
func (b *bench) through(target string) {
	b.Helper()
	access, err := b.Database(b.Context(), "test", "till")
	b.ok(err)
	config, err := pgx.ParseConfig(strings.Replace(access.URL, access.URL[strings.Index(access.URL, "@")+1:strings.LastIndex(access.URL, "/")], target, 1))
	b.ok(err)
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	var conn *pgx.Conn
	for conn == nil { // a relay needs a moment to find a new environment
		if conn, err = pgx.ConnectConfig(ctx, config); ctx.Err() != nil {
			b.Fatal("through the relay: ", err)
		}
	}
	b.ok(conn.Close(ctx))
}

// relay is what the record says of the relay.
func (b *bench) relay() map[string]any {
	b.Helper()
	var r struct {
		Relays map[string]struct {
			Pid     int
			Started string
		}
	}
	text, err := os.ReadFile(b.record())
	b.ok(err)
	b.ok(json.Unmarshal(text, &r))
	return map[string]any{"pid": r.Relays["till"].Pid, "started": r.Relays["till"].Started}
}

func (b *bench) record() string { return filepath.Join(b.config.StateDir, "records", "test.json") }

func (b *bench) gone(pid int) {
	b.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	b.Fatalf("process %d is still there", pid)
}

// TestStranger: after the machine was started again, a process may have the pid
// of a relay, and even its age. It is not touched, and the relay is opened anew.
func TestStranger(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	first, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	b.ok(err)
	mine := b.relay()
	b.ok(syscall.Kill(mine["pid"].(int), syscall.SIGKILL))
	b.gone(mine["pid"].(int))
	stranger := exec.Command("cat")
	in, err := stranger.StdinPipe()
	b.ok(err)
	b.ok(stranger.Start())
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(stranger.Process.Pid) + "/stat")
	b.ok(err)
	ticks := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))[19]
	text, err := os.ReadFile(b.record())
	b.ok(err)
	other := strings.NewReplacer(`"pid": `+strconv.Itoa(mine["pid"].(int)), `"pid": `+strconv.Itoa(stranger.Process.Pid),
		`"started": "`+mine["started"].(string)+`"`, `"started": "`+aged(mine["started"].(string), ticks)+`"`)
	b.ok(os.WriteFile(b.record(), []byte(other.Replace(string(text))), 0o600))
	again, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	b.ok(err)
	if again != first || b.relay()["pid"] == stranger.Process.Pid {
		t.Errorf("a stranger is taken for the relay %+v", again)
	}
	b.through(again.Target)
	b.ok(b.CloseRelay(t.Context(), "test", "till"))
	in.Close()
	if err := stranger.Wait(); err != nil {
		t.Errorf("the stranger was ended: %v", err)
	}
}

// aged is what the record would say of a process of another boot with this age.
func aged(started, ticks string) string {
	if boot, _, ok := strings.Cut(started, "/"); ok {
		return strings.Repeat("0", len(boot)) + "/" + ticks
	}
	return ticks
}

// TestWardenKilledUnderLoad: neither the gateway's open connections nor a relay
// keep anything of a dead environment, and both find the new one.
func TestWardenKilledUnderLoad(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	b.up(release("test", "till", 1, 2, shared.good))
	b.route("test", "till")
	for range 4 {
		b.must("test", "till", "/") // connections that the gateway keeps
	}
	relay, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	b.ok(err)
	b.through(relay.Target)
	b.killWarden("test")
	b.ok(b.Apply(t.Context(), bistro(), "test"))
	b.ok(b.Launch(t.Context(), release("test", "till", 1, 2, shared.good)))
	for range 4 {
		if got := b.must("test", "till", "/"); got != "till-1" {
			t.Errorf("served %q", got)
		}
	}
	b.through(relay.Target)
	b.isolated(bistro())
}

// TestSecrets are nowhere but where they are meant to be, and nobody else can
// walk to a socket or to a file with one.
func TestSecrets(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	b.up(release("test", "till", 1, 1, shared.good))
	_, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	b.ok(err)
	var r struct {
		Databases map[string]struct {
			AdminPassword string `json:"admin_password"`
			Password      string
		}
	}
	text, err := os.ReadFile(b.record())
	b.ok(err)
	b.ok(json.Unmarshal(text, &r))
	secrets := []string{r.Databases["till"].AdminPassword, r.Databases["till"].Password}
	holds := func(text []byte) bool {
		return strings.Contains(string(text), secrets[0]) || strings.Contains(string(text), secrets[1])
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	b.ok(err)
	for _, l := range lines {
		if text, _ := os.ReadFile(l); holds(text) {
			t.Errorf("a password is in %s: %s", l, text)
		}
	}
	closed := map[string]bool{} // directories that others can't walk through
	b.ok(filepath.WalkDir(b.config.StateDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // a server's temporary file
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		closed[path] = closed[filepath.Dir(path)] || d.IsDir() && info.Mode().Perm()&0o077 == 0
		if filepath.Base(path) == "relay.sock" && os.Geteuid() == 0 { // a door of a group that nobody but the relays has
			if id := confine.RelayID(filepath.Dir(path)); info.Mode().Perm() != 0o660 || int(info.Sys().(*syscall.Stat_t).Gid) != id {
				t.Errorf("%s has mode %s and another group than %d", path, info.Mode(), id)
			}
			return nil
		}
		if !d.IsDir() && !closed[path] && info.Mode().Perm()&0o077 != 0 && filepath.Base(path) != "g.sock" && filepath.Base(path) != "g.json" {
			t.Errorf("%s has mode %s and can be reached", path, info.Mode())
		}
		if d.Type()&fs.ModeSocket != 0 && strings.Contains(path, "/w/") && info.Mode().Perm() != 0o600 {
			t.Errorf("socket %s has mode %s", path, info.Mode())
		}
		if strings.HasSuffix(path, ".log") {
			if text, _ := os.ReadFile(path); holds(text) {
				t.Errorf("a password is in %s", path)
			}
		}
		return nil
	}))
}

// TestOddPlace: a state directory may have any name that is short enough.
func TestOddPlace(t *testing.T) {
	b := newBench(t, func(c *local.Config) { c.StateDir = filepath.Join(c.StateDir, "é t'a\"t,%s\\ :x") })
	b.ok(os.Chmod(filepath.Dir(b.config.StateDir), 0o755))
	b.apply(bistro(), "test")
	b.up(release("test", "till", 1, 1, shared.good))
	e, err := b.Observe(t.Context(), "test")
	b.ok(err)
	if !e.Databases[0].Ready || till(e).Instances[0].State != fleet.Ready {
		t.Errorf("%+v", e)
	}
}

// stubborn is a gateway that keeps every pool, when it is told to.
type stubborn struct {
	local.Gateway
	keeps bool
}

func (g *stubborn) DeletePool(ctx context.Context, name string) error {
	if g.keeps {
		return errors.New("the pool stays")
	}
	return g.Gateway.DeletePool(ctx, name)
}

// hung is a gateway that does not answer what it has served.
type hung struct{ local.Gateway }

func (hung) Traffic(ctx context.Context, _ string) (map[int]fleet.Traffic, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestHungGatewayIsNamed: an observation ends by itself, says who does not answer, and
// has everything else.
func TestHungGatewayIsNamed(t *testing.T) {
	b := newBench(t, func(c *local.Config) { c.Gateway = hung{c.Gateway} })
	b.apply(bistro(), "test")
	b.up(release("test", "till", 1, 1, shared.good))
	e, err := b.Observe(t.Context(), "test")
	if err == nil || !strings.Contains(err.Error(), "the gateway does not answer") {
		t.Errorf("error: %v", err)
	}
	if !e.Databases[0].Ready || till(e).Instances[0].State != fleet.Ready {
		t.Errorf("%+v", e)
	}
}

// TestHalfRemovedStaysDead: an environment whose removal was cut off is nothing to
// bring back; applied again, it is a new one.
func TestHalfRemovedStaysDead(t *testing.T) {
	gate := &stubborn{}
	b := newBench(t, func(c *local.Config) { gate.Gateway, c.Gateway = c.Gateway, gate })
	b.apply(bistro(), "test")
	b.up(release("test", "till", 1, 1, shared.good))
	gate.keeps = true
	if err := b.Remove(t.Context(), "test"); err == nil {
		t.Fatal("removed whole")
	}
	gate.keeps = false
	b.killWarden("test")
	if err := b.Pulse(t.Context(), "test"); !errors.Is(err, site.ErrNotFound) {
		t.Errorf("pulse: %v", err)
	}
	if err := b.Revive(t.Context(), "test"); !errors.Is(err, site.ErrNotFound) {
		t.Errorf("revive: %v", err)
	}
	b.ok(b.Apply(t.Context(), bistro(), "test"))
	e, err := b.Observe(t.Context(), "test")
	b.ok(err)
	if len(till(e).Instances) > 0 {
		t.Errorf("made again, it has %+v", till(e).Instances)
	}
}

// TestWhatIsMadeIsNotDead: nobody brings back what somebody is just making.
func TestWhatIsMadeIsNotDead(t *testing.T) {
	b := newBench(t)
	made := make(chan struct{})
	seen := make(chan error, 1)
	go func() {
		defer close(seen)
		for {
			select {
			case <-made:
				return
			default:
			}
			if err := b.Pulse(context.Background(), "test"); errors.Is(err, site.ErrDead) {
				seen <- err
				return
			}
		}
	}()
	b.apply(bistro(), "test")
	close(made)
	if err := <-seen; err != nil {
		t.Error(err)
	}
	b.ok(b.Pulse(t.Context(), "test"))
}
