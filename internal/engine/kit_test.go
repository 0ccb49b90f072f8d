package engine

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/gateway"
	gatewayclient "godwit/internal/gateway/client"
	"godwit/internal/rollout"
	"godwit/internal/site"
	"godwit/internal/site/memory"
	"godwit/internal/sockets"
	"godwit/internal/watch"
)

const (
	host   = "till.bistro.example" // of production
	secret = "correct-horse-battery"
)

// bistro is the landscape of these tests; the images lie beside it.
const bistro = `landscape "bistro" {}
environment "production" {
  network   = "10.30.0.0/16"
  protected = true
}
environment "test" {
  network = "10.10.0.0/16"
}
database "till" {
  engine = "postgres"
}
service "menu" {
  image = "v1"
  port  = 8081
  health {
    path = "/healthz"
  }
  scale {
    min = 1
    max = 2
  }
}
service "till" {
  image = "v1"
  port  = 8080
  env   = { DATABASE_URL = database.till.url, CARD_TERMINAL = env.CARD_TERMINAL }
  needs = [database.till, service.menu]
  health {
    path = "/healthz"
  }
  scale {
    min = 2
    max = 4
  }
}
ingress "till" {
  host    = "till.bistro.example"
  service = service.till
}
ingress "menu" {
  host    = "menu.bistro.example"
  service = service.menu
}
`

// bench is an engine over the site in memory, with a real gateway and a real store.
type bench struct {
	*testing.T
	*Engine
	dir    string // state
	images string // the landscape's directory
	front  *front
	events recorder
	log    *locked
	text   string            // of the landscape
	env    map[string]string // of whoever calls
	quits  int
	sites  map[string]opener // besides the one in memory
	roots  *x509.CertPool    // for the certificates of fronts
	local  site.Site         // instead of the one in memory, over it
}

func newBench(t *testing.T, options ...func(*bench)) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "en") // short: unix sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bench{T: t, dir: dir, images: t.TempDir(), log: &locked{}, text: bistro, env: map[string]string{"CARD_TERMINAL": secret}, sites: map[string]opener{}}
	for _, option := range options {
		option(b)
	}
	b.front = &front{t: t, Site: memory.New(), gateway: gatewayclient.New(filepath.Join(dir, "gateway.sock")),
		backends: map[string]*httptest.Server{}, broken: map[string]bool{},
		inFlight: make(chan struct{}, 1), goOn: make(chan struct{}), address: startGateway(t, dir, b.roots)}
	b.image("v1")
	b.open()
	return b
}

func startGateway(t *testing.T, dir string, roots *x509.CertPool) string {
	s, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0", Admin: filepath.Join(dir, "gateway.sock"),
		State: filepath.Join(dir, "gateway.json"), Roots: roots, EndpointWait: 50 * time.Millisecond, DrainTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("gateway:", err)
		}
	})
	return s.Addr()
}

// start opens an engine on the state directory, as a start of its process does.
func (b *bench) start() {
	b.Helper()
	sites := maps.Clone(b.sites)
	sites[defaultSite] = func(context.Context, *Engine, *world, api.Sink) (site.Site, error) {
		if b.local != nil {
			return b.local, nil
		}
		return b.front, nil
	}
	log := slog.New(slog.NewTextHandler(b.log, nil))
	e, err := open(watch.New(watch.At(b.dir), &sockets.Set{}, log), log, sites, func() { b.quits++ })
	b.ok(err)
	e.roots = b.roots
	e.rollouts = rollout.Options{Watch: 250 * time.Millisecond, Poll: 10 * time.Millisecond, Drain: time.Second}
	b.Engine = e
	b.Cleanup(func() { e.close() })
}

// open opens an engine beside its gateway.
func (b *bench) open() {
	b.Helper()
	b.start()
	for until := time.Now().Add(10 * time.Second); b.Engine.gateway.Healthy(b.Context()) != nil; {
		if time.Now().After(until) {
			b.Fatal("the gateway does not come up")
		}
	}
}

// restart is the next engine on the state directory.
func (b *bench) restart() error {
	b.Helper()
	b.ok(b.Engine.close())
	b.open()
	return b.recover(b.Context())
}

// image makes an image that is like no other; it returns its path.
func (b *bench) image(name string) string {
	b.Helper()
	img, err := mutate.Config(empty.Image, v1.Config{Entrypoint: []string{"/" + name}})
	b.ok(err)
	config, err := img.ConfigFile()
	b.ok(err)
	config.OS, config.Architecture = "linux", "amd64"
	img, err = mutate.ConfigFile(img, config)
	b.ok(err)
	path := filepath.Join(b.images, name)
	p, err := layout.Write(path, empty.Index)
	b.ok(err)
	b.ok(p.AppendImage(img))
	return path
}

// breaks makes instances of an image answer every request with an error.
func (b *bench) breaks(path string) {
	b.Helper()
	digest, err := b.Engine.images.Import(b.Context(), path)
	b.ok(err)
	b.front.mu.Lock()
	defer b.front.mu.Unlock()
	b.front.broken[digest] = true
}

func (b *bench) landscape() api.Landscape {
	return api.Landscape{Dir: b.images, Files: []api.File{{Name: "landscape.hcl", Bytes: []byte(b.text)}}, Env: b.env}
}

// edit changes the landscape file.
func (b *bench) edit(old, replacement string) {
	b.Helper()
	if !strings.Contains(b.text, old) {
		b.Fatalf("the landscape has no %q", old)
	}
	b.text = strings.Replace(b.text, old, replacement, 1)
}

// block takes a block out of the landscape file.
func (b *bench) removeBlock(head string) {
	b.Helper()
	_, after, found := strings.Cut(b.text, head+" {\n")
	body, _, closed := strings.Cut(after, "\n}\n")
	if !found || !closed {
		b.Fatalf("the landscape has no block %q", head)
	}
	b.edit(head+" {\n"+body+"\n}\n", "")
}

func (b *bench) tryUp(approve bool) (api.UpResult, error) {
	return b.Up(b.Context(), api.UpRequest{Landscape: b.landscape(), Approve: approve}, b.events.sink())
}

func (b *bench) up() api.UpResult {
	b.Helper()
	r, err := b.tryUp(false)
	b.ok(err)
	return r
}

// changeMigration changes what is kept of a migration.
func (b *bench) changeMigration(ctx context.Context, w *world, name string, change func(*migrationState)) error {
	m, err := b.Engine.migration(ctx, w, name)
	if err != nil {
		return err
	}
	return m.save(ctx, change)
}

func (b *bench) deploy(environment, path string) api.Rollout {
	b.Helper()
	r, err := b.Deploy(b.Context(), api.DeployRequest{Service: "till", Environment: environment, Image: path}, b.events.sink())
	b.ok(err)
	if len(r) != 1 {
		b.Fatalf("rollouts %+v", r)
	}
	return r[0]
}

// history is "release outcome", oldest first.
func (b *bench) history(environment, service string) []string {
	b.Helper()
	all, err := b.store.Deployments(b.Context(), environment, service)
	b.ok(err)
	var words []string
	for _, d := range all {
		words = append(words, fmt.Sprintf("%d %s", d.Release, d.Outcome))
	}
	return words
}

// fleet is a service as the site sees it; nil when it is not there.
func (b *bench) fleet(environment, service string) *fleet.Fleet {
	b.Helper()
	o, err := b.front.Site.Observe(b.Context(), environment)
	b.ok(err)
	for _, f := range o.Fleets {
		if f.Service == service {
			return &f
		}
	}
	return nil
}

// serves checks that one release alone serves, and that nothing else is left.
func (b *bench) serves(environment, service string, release int) {
	b.Helper()
	f := b.fleet(environment, service)
	if f == nil {
		b.Fatalf("%s/%s is not there", environment, service)
	}
	for number, w := range f.Weights {
		if (w > 0) != (number == release) {
			b.Errorf("release %d of %s/%s should serve alone: weights %v", release, environment, service, f.Weights)
		}
	}
	for _, i := range f.Instances {
		if i.Release != release || i.State != fleet.Ready {
			b.Errorf("release %d of %s/%s should be alone and ready: %+v", release, environment, service, i)
		}
	}
	if len(f.Instances) == 0 {
		b.Errorf("release %d of %s/%s has no instances", release, environment, service)
	}
}

// get asks the gateway as a client does.
func (b *bench) get(host string) (status int, body string) {
	b.Helper()
	status, body, err := b.ask(host, "/")
	b.ok(err)
	return status, body
}

func (b *bench) ask(host, path string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+b.front.address+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (b *bench) gets(host, want string) {
	b.Helper()
	if status, body := b.get(host); status != http.StatusOK || body != want {
		b.Errorf("%s answers %d %q, want %q", host, status, body, want)
	}
}

// load sends requests until the test has no use for them.
func (b *bench) load() {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for ; ctx.Err() == nil; <-tick.C {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.front.address+"/", nil)
				req.Host = host
				if resp, err := http.DefaultClient.Do(req); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
		})
	}
	b.Cleanup(func() { cancel(); clients.Wait() })
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// fails checks an error's code and that it says something.
func (b *bench) fails(err error, code api.Code, words ...string) {
	b.Helper()
	if err == nil {
		b.Fatalf("no error, want %s", code)
	}
	f := api.AsFailure(err)
	if f.Code != code {
		b.Errorf("%s, want %s: %v", f.Code, code, err)
	}
	for _, w := range words {
		if !strings.Contains(f.Message, w) {
			b.Errorf("%q does not say %q", f.Message, w)
		}
	}
}

// concealed checks that no secret is where people look.
func (b *bench) concealed(also ...string) {
	b.Helper()
	texts := append(also, b.log.String(), b.events.String())
	s, err := b.Status(b.Context())
	b.ok(err)
	texts = append(texts, fmt.Sprintf("%+v %s", s, marshal(b.T, s)))
	for _, text := range texts {
		if i := strings.Index(text, secret); i >= 0 {
			b.Errorf("a secret is shown: …%s…", text[max(0, i-200):i+len(secret)])
		}
	}
}

// recorder keeps what operations say.
type recorder struct {
	mu   sync.Mutex
	all  []api.Event
	tell func(api.Event) // may end the goroutine
}

func (r *recorder) sink() api.Sink {
	return api.Sink{Row: func(any) {}, Event: func(e api.Event) {
		r.mu.Lock()
		r.all = append(r.all, e)
		tell := r.tell
		r.mu.Unlock()
		if tell != nil {
			tell(e)
		}
	}}
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%+v", r.all)
}

func (r *recorder) said(state, step string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.all, func(e api.Event) bool { return e.State == state && e.Step == step })
}

// locked is a buffer that goroutines may write into.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// front is the site in memory behind the gateway: every release is a real server,
// and traffic is what the gateway has seen.
type front struct {
	*memory.Site
	t       *testing.T
	gateway *gatewayclient.Client
	address string // of the gateway

	inFlight, goOn chan struct{}     // a request for /slow is served; it may end
	draining       func(pool string) // called when it begins
	lastWords      error             // of instances that never get ready

	mu       sync.Mutex
	backends map[string]*httptest.Server // by pool and release
	broken   map[string]bool             // images
}

// Logs makes it a site that has some.
func (f *front) Logs(_ context.Context, environment, service string, _ int, _ bool, line func(instance, text string)) error {
	line(service+"-1-1", "hello from "+environment)
	return nil
}

func (f *front) Observe(ctx context.Context, environment string) (site.Environment, error) {
	e, err := f.Site.Observe(ctx, environment)
	for i := range e.Fleets {
		if seen, err := f.gateway.Traffic(ctx, poolName(environment, e.Fleets[i].Service)); err == nil {
			e.Fleets[i].Traffic = seen
		}
	}
	return e, err
}

func (f *front) Launch(ctx context.Context, r fleet.Release) error {
	err := f.Site.Launch(ctx, r)
	if err != nil && f.lastWords != nil {
		err = fmt.Errorf("%w: %w", err, f.lastWords)
	}
	return f.then(ctx, r.Environment, r.Service, err)
}

func (f *front) Shift(ctx context.Context, environment, service string, w fleet.Weights) error {
	return f.then(ctx, environment, service, f.Site.Shift(ctx, environment, service, w))
}

func (f *front) Drain(ctx context.Context, environment, service string, release int) error {
	if err := f.Site.Drain(ctx, environment, service, release); err != nil {
		return err
	}
	if f.draining != nil {
		f.draining(poolName(environment, service))
	}
	return f.gateway.WaitIdle(ctx, poolName(environment, service), release)
}

func (f *front) Retire(ctx context.Context, environment, service string, release int) error {
	if err := f.then(ctx, environment, service, f.Site.Retire(ctx, environment, service, release)); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name := backendName(environment, service, release)
	if s := f.backends[name]; s != nil {
		s.CloseClientConnections() // as an instance that ends does
		s.Close()
		delete(f.backends, name)
	}
	return nil
}

func backendName(environment, service string, release int) string {
	return fmt.Sprintf("%s/%s %d", environment, service, release)
}

func (f *front) Remove(ctx context.Context, environment string) error {
	table, err := f.gateway.Table(ctx)
	if err != nil {
		return err
	}
	for pool := range maps.Keys(table.Pools) {
		if strings.HasPrefix(pool, environment+"/") {
			if err := f.gateway.SetPool(ctx, pool, gateway.Pool{}); err != nil {
				return err
			}
			_ = f.gateway.DeletePool(ctx, pool) // a route may lead to it
		}
	}
	return f.Site.Remove(ctx, environment)
}

// then tells the gateway what a service has become.
func (f *front) then(ctx context.Context, environment, service string, err error) error {
	if err != nil {
		return err
	}
	name := poolName(environment, service)
	o, err := f.Site.Observe(ctx, environment)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(o.Fleets, func(one fleet.Fleet) bool { return one.Service == service })
	if i < 0 {
		return f.gateway.DeletePool(ctx, name)
	}
	pool := gateway.Pool{Weights: o.Fleets[i].Weights}
	for _, r := range o.Fleets[i].Releases {
		for _, instance := range o.Fleets[i].Instances {
			if instance.Release == r.Number {
				pool.Endpoints = append(pool.Endpoints, gateway.Endpoint{ID: instance.ID, Release: r.Number, Address: f.backend(r)})
			}
		}
	}
	return f.gateway.SetPool(ctx, name, pool)
}

// backend is the server of a release: it answers with the name and number.
func (f *front) backend(r fleet.Release) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := backendName(r.Environment, r.Service, r.Number)
	if f.backends[name] == nil {
		broken := f.broken[r.Image]
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken {
				w.WriteHeader(http.StatusInternalServerError)
			}
			if r.URL.Path == "/slow" {
				f.inFlight <- struct{}{}
				select {
				case <-f.goOn:
				case <-r.Context().Done():
					return
				}
			}
			io.WriteString(w, name)
		}))
		f.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
		f.backends[name] = s
	}
	return f.backends[name].Listener.Addr().String()
}
