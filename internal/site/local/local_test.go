//go:build linux

package local_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/gateway"
	"godwit/internal/gateway/client"
	"godwit/internal/image"
	"godwit/internal/landscape"
	"godwit/internal/site/local"
	"godwit/internal/site/local/postgres"
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
