//go:build linux

package warden_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/internal/site/local/network"
	"godwit/internal/site/local/runtime"
	"godwit/internal/site/local/warden"
)

// inside are the processes of the environment whose warden has this pid: those
// whose pid namespace is its own or below.
func inside(t testing.TB, pid int) []string {
	t.Helper()
	children := map[string][]string{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // ended meanwhile
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		parent := fields[1]
		children[parent] = append(children[parent], filepath.Base(filepath.Dir(stat)))
	}
	all := []string{fmt.Sprint(pid)}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// TestKilled: whatever ends the warden ends everything with it.
func TestKilled(t *testing.T) {
	w := newWorld(t, "10.93.0")
	w.open(network.Rules{})
	w.launch(w.instance(2), w.instance(3))
	pid, err := warden.Pid(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	pids := inside(t, pid)
	if len(pids) != 3 {
		t.Fatalf("processes of the environment: %v", pids)
	}
	var networks, mounts []string
	for _, p := range pids {
		networks = append(networks, link(t, p, "net"))
		mounts = append(mounts, link(t, p, "mnt"))
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := warden.Wait(t.Context(), w.dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "every process is gone", func() bool {
		for _, p := range pids {
			if state := state(p); state != "" && state != "Z" {
				return false
			}
		}
		return true
	})
	eventually(t, "no process is in its namespaces", func() bool {
		for kind, names := range map[string][]string{"net": networks, "mnt": mounts} {
			all, _ := filepath.Glob("/proc/[0-9]*/ns/" + kind)
			for _, l := range all {
				name, _ := os.Readlink(l)
				for _, n := range names {
					if name == n {
						return false
					}
				}
			}
		}
		return true
	})
	if _, err := w.Instances(t.Context()); !errors.Is(err, warden.ErrNotRunning) {
		t.Errorf("asked a dead warden: %v", err)
	}
	// The same place can be used again at once.
	err = warden.Start(t.Context(), warden.Config{Dir: w.dir, Environment: "again", Router: w.addr(1), Trees: []string{guest}})
	if err != nil {
		t.Fatal(err)
	}
	w.open(network.Rules{})
	w.launch(w.instance(2))
}

func link(t *testing.T, pid, kind string) string {
	t.Helper()
	name, err := os.Readlink("/proc/" + pid + "/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func state(pid string) string {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return ""
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))[0]
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

const starterName = "starter" // this test binary as an engine that starts a warden and is killed

func starter() int {
	var c warden.Config
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		return 1
	}
	if err := warden.Start(context.Background(), c); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("started")
	select {}
}

// TestStarterKilled: a warden outlives who started it, and another finds it.
func TestStarterKilled(t *testing.T) {
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, dir: dir, prefix: "10.93.1", Client: warden.NewClient(dir)}
	t.Cleanup(func() {
		if err := warden.Kill(context.Background(), dir); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	config, err := json.Marshal(warden.Config{Dir: dir, Environment: "orphan", Router: w.addr(1), Trees: []string{guest}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", starterName)
	cmd.Stdin = strings.NewReader(string(config))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 1024)
	n, _ := out.Read(line)
	if string(line[:n]) != "started\n" {
		t.Fatalf("starter: %s", line[:n])
	}
	w.open(network.Rules{})
	w.launch(w.instance(2))
	before := w.must(2, "/")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if after := w.must(2, "/"); after != before {
		t.Errorf("served %q before and %q after", before, after)
	}
	err = warden.Start(t.Context(), warden.Config{Dir: dir, Environment: "orphan", Router: w.addr(1)})
	if !errors.Is(err, warden.ErrRunning) {
		t.Errorf("started again: %v", err)
	}
	if s := w.await("i2", "seen", func(warden.Status) bool { return true }); !s.Ready || s.Restarts != 0 {
		t.Errorf("found again: %+v", s)
	}
}

// TestRestart: an instance that ends is started again, with the same address.
func TestRestart(t *testing.T) {
	w := newWorld(t, "10.93.2")
	w.open(network.Rules{})
	w.launch(w.instance(2))
	w.get(2, "/exit")
	w.await("i2", "ready again", func(s warden.Status) bool { return s.Ready && s.Restarts == 1 })
	if got := w.must(2, "/"); got != "i2" {
		t.Errorf("after its restart: %q", got)
	}
	if err := w.Stop(t.Context(), "i2"); err != nil {
		t.Fatal(err)
	}
	s := w.await("i2", "stopped", func(s warden.Status) bool { return s.Stopped })
	if s.Running || !strings.Contains(s.Reason, "exit status 0") {
		t.Errorf("stopped: %+v", s)
	}
	log, err := os.ReadFile(warden.LogFile(w.dir, "i2"))
	if err != nil || !strings.Contains(string(log), " the guest ends as asked\n") {
		t.Errorf("log: %s %v", log, err)
	}
	if err := w.Remove(t.Context(), "i2"); err != nil {
		t.Fatal(err)
	}
	if err := w.Stop(t.Context(), "i2"); !errors.Is(err, warden.ErrNoInstance) {
		t.Errorf("stop of a removed instance: %v", err)
	}
}

// TestBroken: what can't start says why, and does not spin.
func TestBroken(t *testing.T) {
	w := newWorld(t, "10.93.3")
	i := w.instance(2)
	i.Spec.Command = []string{"/nothing"}
	if err := w.PutInstance(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	s := w.await("i2", "ended", func(s warden.Status) bool { return s.Restarts > 1 })
	if !strings.Contains(s.Reason, "/nothing") || !strings.Contains(s.Reason, "no such file") {
		t.Errorf("reason %q", s.Reason)
	}
}

// TestLogCap: an instance can't fill the disk.
func TestLogCap(t *testing.T) {
	w := newWorld(t, "10.93.4")
	w.open(network.Rules{})
	w.launch(w.instance(2))
	w.must(2, "/flood") // 64 MiB
	var size int64
	for _, suffix := range []string{"", ".1", ".2"} {
		if info, err := os.Stat(warden.LogFile(w.dir, "i2") + suffix); err == nil {
			size += info.Size()
		}
	}
	if size > 33<<20 || size < 8<<20 {
		t.Errorf("the logs have %d bytes", size)
	}
}

// TestShutdown: told to end, it ends everything gracefully, Last last.
func TestShutdown(t *testing.T) {
	w := newWorld(t, "10.93.5")
	w.open(network.Rules{})
	last := w.instance(2)
	last.Last = true
	w.launch(last, w.instance(3))
	if err := w.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := warden.Wait(t.Context(), w.dir); err != nil {
		t.Fatal(err)
	}
	ends := map[string]time.Time{}
	for _, id := range []string{"i2", "i3"} {
		log, err := os.ReadFile(warden.LogFile(w.dir, id))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			if at, text, _ := strings.Cut(line, " "); strings.HasPrefix(text, "the guest ends as asked") {
				if ends[id], err = time.Parse(runtime.LogTime, at); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if ends["i2"].IsZero() || ends["i3"].IsZero() || ends["i2"].Before(ends["i3"]) {
		t.Errorf("ends: %v", ends)
	}
}

// TestPathTooLong: a state directory whose sockets can't be is refused with a mend.
func TestPathTooLong(t *testing.T) {
	t.Parallel()
	err := warden.Start(t.Context(), warden.Config{Dir: "/tmp/" + strings.Repeat("x", 100), Router: (&world{prefix: "10.0.0"}).addr(1)})
	if err == nil || !strings.Contains(err.Error(), "shorter path") {
		t.Errorf("error: %v", err)
	}
}

// TestPlain: the mode without isolation serves the same API.
func TestPlain(t *testing.T) {
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, dir: dir, prefix: "127.93.0", Client: warden.NewClient(dir)}
	t.Cleanup(func() {
		if err := warden.Kill(context.Background(), dir); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	if err := warden.Start(t.Context(), warden.Config{Dir: dir, Environment: "plain", Router: w.addr(1), Plain: true}); err != nil {
		t.Fatal(err)
	}
	vip := w.port(100)
	w.open(network.Rules{Virtuals: []network.Virtual{{Address: vip,
		Endpoints: network.Spread([][]netip.AddrPort{{w.port(2)}, {w.port(3)}}, []int{1, 1})}}})
	for n := 2; n < 4; n++ {
		w.launch(w.instance(n, "HOST="+w.addr(n).String(), "PORT=8080"))
	}
	got := map[string]int{}
	for range 10 {
		got[w.must(2, "/get?url=http://"+vip.String()+"/")]++
	}
	if got["i2"] != 5 || got["i3"] != 5 {
		t.Errorf("shares %v", got)
	}
	pid, err := warden.Pid(dir)
	if err != nil {
		t.Fatal(err)
	}
	pids := inside(t, pid)
	if err := warden.Kill(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its plain processes are gone", func() bool {
		for _, p := range pids {
			if s := state(p); s != "" && s != "Z" {
				return false
			}
		}
		return len(pids) == 3
	})
}
