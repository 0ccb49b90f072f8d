// Package engine is the control plane: it observes what runs, plans what must
// change, acts through the site and the gateway, and writes down in the journal
// what it is about to do. It owns every goroutine of its process, may be killed
// at any instant, and on its next start finishes or undoes what was under way.
//
// It implements api.Engine. Only cmd/godwit imports it; it alone chooses a
// concrete site.
package engine

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"godwit/internal/api"
	gatewayclient "godwit/internal/gateway/client"
	"godwit/internal/image"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/migrate/postgres"
	"godwit/internal/rollout"
	"godwit/internal/site"
	"godwit/internal/store"
	"godwit/internal/watch"
)

// Engine serves one state directory: one landscape, one gateway, one site.
type Engine struct {
	dir      string
	log      *slog.Logger
	store    *store.Store
	journal  *journal.Journal
	images   *image.Store
	gateway  *gatewayclient.Client
	sites    map[string]opener
	rollouts rollout.Options // of every rollout
	brief    journal.Limits  // of what somebody waits for; see settle.go
	patience time.Duration   // how long a site far away may take to answer; see asking
	roots    *x509.CertPool  // for the certificates of fronts; nil: the system's
	keeper   keeper
	healers  healers
	watch    *watch.Watch
	secrets  secrets
	known    postgres.Known // definitions of databases
	relays   sync.Mutex     // held while they are kept open, and while they are closed for good
	self     identified
	since    time.Time
	claims

	mu      sync.Mutex
	world   *world // nil until the first up
	trouble error  // why the world of the last engine could not be taken up

	quit context.CancelFunc // ends the process, after down
}

var _ api.Engine = (*Engine)(nil)

// world is what the engine works on once a landscape is up. It is replaced as a
// whole, never changed.
type world struct {
	landscape *landscape.Landscape
	settings  settings
	site      site.Site
}

// open opens the state directory that w watches, for the sites of a registry. quit
// is called when down has ended everything.
func open(w *watch.Watch, log *slog.Logger, sites map[string]opener, quit context.CancelFunc) (*Engine, error) {
	dir := w.Dir()
	s, err := store.Open(filepath.Join(dir, "engine.db"))
	if err != nil {
		return nil, err
	}
	images, err := image.Open(filepath.Join(dir, "images"))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	e := &Engine{
		dir: dir, store: s, journal: journal.Open(s), images: images, sites: sites,
		gateway: gatewayclient.New(w.AdminSocket()), quit: quit, patience: sitePatience, brief: briefLimits,
		watch: w, since: time.Now(),
	}
	e.log = slog.New(discreet{log.Handler(), &e.secrets})
	e.healers.log = e.log
	return e, nil
}

func (e *Engine) close() error {
	e.healers.close()
	e.gateway.Close()
	e.watch.Sockets.Close()
	return e.store.Close()
}

// current is the world, or a Failure that says how to make one.
func (e *Engine) current() (*world, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.world != nil:
		return e.world, nil
	case e.trouble != nil:
		return nil, api.Fail(api.Failed, "what the last engine left could not be taken up: %v; mend that and run godwit up DIR again, or godwit down", e.trouble)
	}
	return nil, api.Fail(api.Usage, "no landscape is up yet: run godwit up DIR")
}

// setWorld replaces the world; nil: there is none any more.
func (e *Engine) setWorld(w *world) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.world, e.trouble = w, nil
}

// keepAlive has the environments of a world brought back from now on when they
// die, those that are still there and no longer declared among them.
func (e *Engine) keepAlive(ctx context.Context, w *world) error {
	names, err := e.environmentNames(ctx, w)
	if err == nil {
		e.healers.follow(w.site, names)
	}
	return err
}

// environment finds a declared environment.
func (w *world) environment(name string) (landscape.Environment, error) {
	env, ok := w.landscape.Environment(name)
	if !ok {
		return env, api.Fail(api.Missing, "the landscape declares no environment %q", name)
	}
	return env, nil
}

// service finds a declared service.
func (w *world) service(name string) (landscape.Service, error) {
	s, ok := w.landscape.Service(name)
	if !ok {
		return s, api.Fail(api.Missing, "the landscape declares no service %q", name)
	}
	return s, nil
}

// migration finds a declared migration.
func (w *world) migration(name string) (landscape.Migration, error) {
	m, ok := w.landscape.Migration(name)
	if !ok {
		return m, api.Fail(api.Missing, "the landscape declares no migration %q", name)
	}
	return m, nil
}

// poolName is the gateway's name of a service in an environment.
func poolName(environment, service string) string { return environment + "/" + service }

// sourcePool is the gateway's name of a service in the data centre.
func sourcePool(source, service string) string {
	return fmt.Sprintf("%s%s/%s", sourcePools, source, service)
}

// sourcePools is what the names of all pools of data centres begin with.
const sourcePools = "source/"
