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
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"godwit/internal/api"
	gatewayclient "godwit/internal/gateway/client"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/local/image"
	"godwit/internal/store"
)

// Engine serves one state directory: one landscape, one gateway, one site.
type Engine struct {
	dir     string
	log     *slog.Logger
	store   *store.Store
	journal *journal.Journal
	images  *image.Store
	gateway *gatewayclient.Client
	operation

	mu    sync.Mutex
	world *world // nil until the first up

	ending atomic.Bool        // down has begun to end everything
	quit   context.CancelFunc // ends the process, after down
}

// world is what the engine works on once a landscape is up. It is replaced as a
// whole, never changed.
type world struct {
	landscape *landscape.Landscape
	settings  settings
	site      site.Site
}

// open opens the state directory. quit is called when down has ended everything.
func open(dir string, log *slog.Logger, quit context.CancelFunc) (*Engine, error) {
	s, err := store.Open(filepath.Join(dir, "engine.db"))
	if err != nil {
		return nil, err
	}
	images, err := image.Open(filepath.Join(dir, "images"))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &Engine{
		dir: dir, log: log, store: s, journal: journal.Open(s), images: images,
		gateway: gatewayclient.New(filepath.Join(dir, "gateway.sock")), quit: quit,
	}, nil
}

func (e *Engine) close() error { return e.store.Close() }

// current is the world, or a Failure that says how to make one.
func (e *Engine) current() (*world, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.world == nil {
		return nil, api.Fail(api.Usage, "no landscape is up yet: run godwit up DIR")
	}
	return e.world, nil
}

func (e *Engine) setWorld(w *world) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.world = w
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

// poolName is the gateway's name of a service in an environment.
func poolName(environment, service string) string { return environment + "/" + service }

// sourcePool is the gateway's name of a service in the data centre.
func sourcePool(source, service string) string { return fmt.Sprintf("source/%s/%s", source, service) }
