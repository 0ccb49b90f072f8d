//go:build linux

package warden_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/door"
	"godwit/internal/site/local/network"
	"godwit/internal/site/local/runtime"
	"godwit/internal/site/local/warden"
)

var guest string // directory with the guest program

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == warden.Name {
		os.Exit(warden.Main(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == runtime.ShimName {
		os.Exit(runtime.Shim())
	}
	if len(os.Args) > 1 && os.Args[1] == starterName {
		os.Exit(starter())
	}
	if len(os.Args) > 2 && os.Args[1] == runName {
		os.Exit(run(os.Args[2:]))
	}
	os.Exit(withGuest(m))
}

func withGuest(m *testing.M) int {
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755)
	guest = filepath.Join(dir, "rootfs")
	os.MkdirAll(guest+"/etc/ssl", 0o755)
	os.WriteFile(guest+"/script", []byte("#!/proc/self/exe "+runName+"\n"), 0o755)
	build := exec.Command("go", "build", "-o", guest+"/guest", "../testdata/guest")
	if prebuilt := os.Getenv("GODWIT_TEST_GUEST"); prebuilt != "" {
		build = exec.Command("cp", prebuilt, guest+"/guest")
	}
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, out))
	}
	return m.Run()
}

// world is one environment under test.
type world struct {
	testing.TB
	*warden.Client
	dir    string
	prefix string
}

func newWorld(t testing.TB, prefix string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, dir: dir, prefix: prefix, Client: warden.NewClient(dir)}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := warden.Kill(ctx, dir); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "warden.log"))
			t.Logf("warden.log:\n%s", log)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	err = warden.Start(t.Context(), warden.Config{Dir: dir, Environment: t.Name(), Router: w.addr(1), Trees: []string{guest}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) addr(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("%s.%d", w.prefix, n)) }
func (w *world) port(n int) netip.AddrPort {
	return netip.AddrPortFrom(w.addr(n), 8080)
}

func (w *world) instance(n int, env ...string) warden.Instance {
	name := fmt.Sprintf("i%d", n)
	return warden.Instance{
		Spec: runtime.Spec{ID: name, Hostname: name, Rootfs: guest, Command: []string{"/guest"}, Address: w.addr(n),
			Env: append(env, "NAME="+name), HostID: warden.InstanceID(n), Grace: 2 * time.Second},
		Health: warden.Health{Port: 8080, Path: "/healthz", Interval: 50 * time.Millisecond, Timeout: time.Second},
	}
}

// edge is an opening from one instance to another, by their numbers.
func edge(from, to int) network.Edge {
	return network.Edge{From: fmt.Sprintf("i%d", from), To: fmt.Sprintf("i%d", to)}
}

// open lets the door reach the instances, and the edges.
func (w *world) open(rules network.Rules) {
	w.Helper()
	rules.Parties = map[string]network.Party{}
	for n := 2; n < 9; n++ {
		rules.Parties[fmt.Sprintf("i%d", n)] = network.Party{From: []netip.Addr{w.addr(n)}, At: []netip.AddrPort{w.port(n)}}
		rules.Router, rules.Gateway = append(rules.Router, w.port(n)), append(rules.Gateway, w.port(n))
	}
	if err := w.ApplyRules(w.Context(), rules); err != nil {
		w.Fatal(err)
	}
}

func (w *world) launch(instances ...warden.Instance) {
	w.Helper()
	for _, i := range instances {
		if err := w.PutInstance(w.Context(), i); err != nil {
			w.Fatal(err)
		}
		w.await(i.Spec.ID, "ready", func(s warden.Status) bool { return s.Ready })
	}
}

func (w *world) await(id, what string, ok func(warden.Status) bool) warden.Status {
	w.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		all, err := w.Instances(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		for _, s := range all {
			if s.ID == id && ok(s) {
				return s
			}
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s did not become %s: %+v", id, what, all)
		}
	}
}

// get asks an instance through the door.
func (w *world) get(n int, path string) (string, error) {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return door.Dial(ctx, warden.DoorSocket(w.dir), "tcp", address)
		}}}
	resp, err := client.Get("http://" + w.port(n).String() + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func (w *world) must(n int, path string) string {
	w.Helper()
	body, err := w.get(n, path)
	if err != nil {
		w.Fatal(err)
	}
	return body
}

func TestEscape(t *testing.T) {
	w := newWorld(t, "10.91.0")
	w.open(network.Rules{})
	w.launch(w.instance(2))
	var got map[string]string
	if err := json.Unmarshal([]byte(w.must(2, "/escape")), &got); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", got["mounts"])
	for name, result := range got {
		switch {
		case strings.HasPrefix(name, "fd "), name == "mounts":
		case strings.HasPrefix(name, "status "):
			wantStatus(t, strings.TrimPrefix(name, "status "), result)
		case result == "":
			t.Errorf("%s: worked", name)
		default:
			t.Logf("%s: %s", name, result)
		}
	}
}

func wantStatus(t *testing.T, name, got string) {
	want := map[string]string{"CapInh": zeros, "CapPrm": zeros, "CapEff": zeros, "CapBnd": zeros, "CapAmb": zeros,
		"NoNewPrivs": "1", "Seccomp": "2", "NSpid": "1", "Uid": "1000\t1000\t1000\t1000"}
	if w, ok := want[name]; ok && got != w {
		t.Errorf("/proc/self/status %s is %q, want %q", name, got, w)
	}
}

const zeros = "0000000000000000"

// BenchmarkStart measures from the request for an instance to its first good
// health check, and its removal.
func BenchmarkStart(b *testing.B) {
	w := newWorld(b, "10.94.0")
	w.open(network.Rules{})
	for b.Loop() {
		w.launch(w.instance(2))
		b.StopTimer()
		if err := w.Remove(b.Context(), "i2"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
