//go:build linux

package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/fleet"
	"godwit/internal/gateway"
	"godwit/internal/gateway/client"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/local"
	"godwit/internal/site/local/image"
	"godwit/internal/site/local/postgres"
	"godwit/internal/site/sitetest"
)

func TestMain(m *testing.M) {
	if handled, code := local.Dispatch(os.Args); handled {
		os.Exit(code)
	}
	os.Exit(run(m))
}

// What all tests share: images of the guest, Postgres and its template.
var shared struct {
	dir       string
	images    *image.Store
	good, bad string
	postgres  postgres.Installation
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func prepare(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	shared.dir = dir
	guest, err := os.Getwd()
	if err != nil {
		return err
	}
	guest = filepath.Join(guest, "testdata/guest")
	program := filepath.Join(dir, "guest")
	build := exec.Command("go", "build", "-o", program, ".")
	if prebuilt := os.Getenv("GODWIT_TEST_GUEST"); prebuilt != "" {
		build = exec.Command("cp", prebuilt, program)
		guest = "/"
	}
	build.Dir, build.Env = guest, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the guest: %w: %s", err, out)
	}
	if shared.images, err = image.Open(filepath.Join(dir, "images")); err != nil {
		return err
	}
	ctx := context.Background()
	for _, v := range []struct {
		digest *string
		entry  []string
	}{{&shared.good, []string{"/guest"}}, {&shared.bad, []string{"/guest", "crash"}}} {
		*v.digest, err = shared.images.Build(ctx, dir, landscape.Build{Dir: ".",
			Command: []string{"sh", "-c", "cp guest $OUT/guest"}, Entrypoint: v.entry}, io.Discard)
		if err != nil {
			return err
		}
	}
	shared.postgres, err = postgres.Find(ctx)
	return err
}

// bench is a site with a real gateway in front.
type bench struct {
	*testing.T
	*local.Site
	config  local.Config
	gateway *gateway.Server
}

func newBench(t *testing.T, change ...func(*local.Config)) *bench {
	t.Helper()
	dir, err := os.MkdirTemp(shared.dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	b := &bench{T: t, config: local.Config{StateDir: dir, Images: shared.images, ImagesDir: filepath.Join(shared.dir, "images"),
		Postgres: shared.postgres, LaunchTimeout: 10 * time.Second, NoSync: true}}
	b.startGateway(dir)
	for _, c := range change {
		c(&b.config)
	}
	b.Site = b.open()
	return b
}

func (b *bench) open() *local.Site {
	b.Helper()
	s, err := local.New(b.config)
	if errors.Is(err, local.ErrImpossible) {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bench) startGateway(dir string) {
	b.Helper()
	admin := filepath.Join(dir, "g.sock")
	server, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0", Admin: admin, State: filepath.Join(dir, "g.json"),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Run(ctx); err != nil {
			b.Errorf("gateway: %v", err)
		}
	})
	gate := client.New(admin)
	b.Cleanup(func() {
		gate.Close()
		cancel()
		running.Wait()
	})
	b.gateway, b.config.Gateway = server, gate
	for {
		if err := gate.Healthy(b.Context()); err == nil {
			return
		}
	}
}

// apply an environment, removed when the test ends.
func (b *bench) apply(l *landscape.Landscape, environment string) {
	b.Helper()
	b.Cleanup(func() {
		if b.Failed() {
			log, _ := os.ReadFile(filepath.Join(b.config.StateDir, "w", environment, "warden.log"))
			b.Logf("warden.log of %s:\n%s", environment, log)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := b.Remove(ctx, environment); err != nil {
			b.Error(err)
		}
	})
	b.ok(b.Apply(b.Context(), l, environment))
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// get asks a service through the gateway.
func (b *bench) get(environment, service, path string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+b.gateway.Addr()+path, nil)
	if err != nil {
		return "", err
	}
	req.Host = service + "." + environment + ".example"
	resp, err := (&http.Client{Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

func (b *bench) route(environment, service string) {
	b.Helper()
	b.ok(b.config.Gateway.(*client.Client).SetRoutes(b.Context(),
		map[string]string{service + "." + environment + ".example": environment + "/" + service}))
}

func (b *bench) must(environment, service, path string) string {
	b.Helper()
	body, err := b.get(environment, service, path)
	b.ok(err)
	return body
}

// bistro is a small landscape: till needs menu and its database.
func bistro() *landscape.Landscape {
	return &landscape.Landscape{
		Name: "bistro",
		Environments: []landscape.Environment{
			{Name: "test", Network: netip.MustParsePrefix("10.71.0.0/16")},
			{Name: "stage", Network: netip.MustParsePrefix("10.72.0.0/16")},
		},
		Services: []landscape.Service{
			{Name: "till", Port: 8080, Needs: []landscape.Ref{{Kind: "database", Name: "till"}, {Kind: "service", Name: "menu"}}},
			{Name: "menu", Port: 8080},
		},
		Databases: []landscape.Database{{Name: "till", Engine: "postgres"}},
		Ingresses: []landscape.Ingress{{Name: "till", Host: "till.example", Service: "till"}},
	}
}

func release(environment, service string, number, count int, image string) fleet.Release {
	return fleet.Release{Environment: environment, Service: service, Number: number, Count: count, Image: image, Port: 8080,
		Health: landscape.Health{Path: "/healthz", Interval: 100 * time.Millisecond, Timeout: time.Second},
		Env: map[string]landscape.Value{"NAME": landscape.Literal(fmt.Sprintf("%s-%d", service, number)),
			"MENU_URL":     {Parts: []landscape.Part{{Ref: &landscape.AttrRef{Kind: "service", Name: "menu", Attr: "url"}}}},
			"DATABASE_URL": {Parts: []landscape.Part{{Ref: &landscape.AttrRef{Kind: "database", Name: "till", Attr: "url"}}}}}}
}

// up brings a service to one release with all weight.
func (b *bench) up(r fleet.Release) {
	b.Helper()
	b.ok(b.Launch(b.Context(), r))
	b.ok(b.Shift(b.Context(), r.Environment, r.Service, fleet.Weights{r.Number: 1}))
}

func TestContract(t *testing.T) {
	sitetest.Run(t, harness(func(t *testing.T) site.Site { return newBench(t).Site }))
}

func harness(open func(*testing.T) site.Site) sitetest.Harness {
	return sitetest.Harness{New: open, Landscape: bistro(), Release: release("", "till", 0, 0, ""), Good: shared.good, Bad: shared.bad}
}

// TestDemoShape: services find each other and their database by name; what an
// instance is told is what it gets.
func TestNamesAndDatabase(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	b.up(release("test", "menu", 1, 2, shared.good))
	b.up(release("test", "till", 1, 2, shared.good))
	b.route("test", "till")
	if got := b.must("test", "till", "/get?url=http://menu.svc.internal:8080/"); got != "menu-1" {
		t.Errorf("menu by name: %q", got)
	}
	var env []string
	b.ok(json.Unmarshal([]byte(b.must("test", "till", "/env")), &env))
	if all := strings.Join(env, "\n"); !strings.Contains(all, "MENU_URL=http://menu.svc.internal:8080") ||
		!strings.Contains(all, "DATABASE_URL=postgres://till:") {
		t.Errorf("environment: %s", all)
	}
	access, err := b.Database(t.Context(), "test", "till")
	b.ok(err)
	config, err := pgx.ParseConfig(access.URL)
	b.ok(err)
	config.DialFunc = access.Dial
	conn, err := pgx.ConnectConfig(t.Context(), config)
	b.ok(err)
	defer conn.Close(t.Context())
	var owner string
	b.ok(conn.QueryRow(t.Context(), "select pg_get_userbyid(datdba) from pg_database where datname = current_database()").Scan(&owner))
	if owner != access.Owner {
		t.Errorf("owner %q, want %q", owner, access.Owner)
	}
}

// TestIsolation: every ordered pair over two environments, with a relay open
// and without.
func TestIsolation(t *testing.T) {
	b := newBench(t)
	l := bistro()
	for _, e := range []string{"test", "stage"} {
		b.apply(l, e)
		b.up(release(e, "menu", 1, 2, shared.good))
		b.up(release(e, "till", 1, 2, shared.good))
	}
	before := b.isolated(l)
	source, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	defer source.Close()
	relay, err := b.OpenRelay(t.Context(), "test", "till", source.Addr().String())
	b.ok(err)
	again, err := b.OpenRelay(t.Context(), "test", "till", source.Addr().String())
	if err != nil || again != relay {
		t.Errorf("opened again: %+v, %v; first %+v", again, err, relay)
	}
	open := b.isolated(l)
	if open.Allowed != before.Allowed+1 {
		t.Errorf("with the relay %d pairs are allowed, without %d", open.Allowed, before.Allowed)
	}
	for range 2 {
		b.ok(b.CloseRelay(t.Context(), "test", "till"))
	}
	if after := b.isolated(l); after.Allowed != before.Allowed || after.Pairs != before.Pairs {
		t.Errorf("after the relay %+v, before %+v", after, before)
	}
	if conn, err := net.Dial("tcp", relay.Target); err == nil {
		conn.Close()
		t.Error("the relay still listens")
	}
}

func (b *bench) isolated(l *landscape.Landscape) site.Isolation {
	b.Helper()
	began := time.Now()
	found, err := b.CheckIsolation(b.Context(), l)
	b.ok(err)
	b.Logf("%d pairs, %d allowed, %d denied, %d wrong in %v", found.Pairs, found.Allowed, found.Denied, found.Wrong, time.Since(began))
	for _, d := range found.Details {
		b.Error("wrong:", d)
	}
	if found.Pairs != found.Allowed+found.Denied+found.Wrong || found.Pairs == 0 || found.Allowed == 0 {
		b.Errorf("counts don't add up: %+v", found)
	}
	return found
}

// TestIsolationFindsHoles: the packet test must be able to fail.
func TestIsolationFindsHoles(t *testing.T) {
	b := newBench(t)
	l := bistro()
	b.apply(l, "test")
	b.up(release("test", "menu", 1, 1, shared.good))
	b.up(release("test", "till", 1, 1, shared.good))
	stricter := bistro()
	stricter.Services[0].Needs = nil
	found, err := b.CheckIsolation(t.Context(), stricter)
	b.ok(err)
	if found.Wrong != 3 { // database, menu's instance, menu's virtual address
		t.Errorf("%d wrong, want 3: %v", found.Wrong, found.Details)
	}
	looser := bistro()
	looser.Services[1].Needs = []landscape.Ref{{Kind: "database", Name: "till"}}
	found, err = b.CheckIsolation(t.Context(), looser)
	b.ok(err)
	if found.Wrong != 1 {
		t.Errorf("%d wrong, want 1: %v", found.Wrong, found.Details)
	}
}
