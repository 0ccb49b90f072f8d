// Package local is the site that runs environments on this machine: a warden
// per environment (see package warden), instances from unpacked images, a
// Postgres server per environment and database.
//
// It guarantees that environments are apart by construction: each has a network
// of its own without any link to the host or to another; the gateway reaches
// instances through the warden's door only. Where the machine cannot do that,
// New says what is missing; without isolation it runs only when asked to.
//
// What the site remembers of an environment is a record in its state directory,
// written before what it describes is made. A call that is repeated after a
// crash completes what was begun.
//
// Only the engine chooses this site. It imports neither engine, store nor api.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/gateway"
	"godwit/internal/image"
	"godwit/internal/relay"
	"godwit/internal/site"
	"godwit/internal/site/local/postgres"
	"godwit/internal/site/local/runtime"
	"godwit/internal/site/local/warden"
)

// What Config.Isolation may say.
const (
	IsolationAuto       = ""           // namespaces; refuse where they are impossible
	IsolationNamespaces = "namespaces" // the same
	IsolationNone       = "none"       // plain processes
)

// Gateway is what the site tells the gateway, and asks it. A pool's name is
// "<environment>/<service>".
type Gateway interface {
	SetPool(ctx context.Context, name string, pool gateway.Pool) error
	DeletePool(ctx context.Context, name string) error
	// WaitIdle waits until a release in a pool has no request in flight.
	WaitIdle(ctx context.Context, pool string, release int) error
	Traffic(ctx context.Context, pool string) (map[int]fleet.Traffic, error)
}

// Config of the site.
type Config struct {
	StateDir  string // absolute; others may walk through it, not read it
	Images    *image.Store
	ImagesDir string // where Images is, so that wardens can be shown it
	Postgres  postgres.Installation
	Template  string // Postgres's template; "" means postgres.TemplateDir
	Gateway   Gateway
	GatewayID int // its uid and gid, when root runs it; 0 where it is of this user
	Isolation string
	// LaunchTimeout bounds how long an instance may take to get ready; 0 means 60 s.
	LaunchTimeout time.Duration
	// NoSync lets databases not wait for the disk: for data that may be lost.
	NoSync bool
	// Memory bounds what an environment may use, in bytes, where the machine lets
	// us (root, with control groups); 0 means three quarters of the machine's.
	Memory int64
	Logger *slog.Logger
}

// Site runs environments on this machine.
type Site struct {
	Config
	plain bool

	unbound sync.Once // says that environments are not bounded

	mu    sync.Mutex
	locks map[string]chan struct{} // by environment: one change at a time
	deaf  map[string]int           // by relay: looks in a row at which it did not relay
}

var (
	_ site.Site          = (*Site)(nil)
	_ site.Administrator = (*Site)(nil)
	_ site.Configurer    = (*Site)(nil)
	_ site.Relayer       = (*Site)(nil)
	_ site.Reviver       = (*Site)(nil)
	_ site.RelayKeeper   = (*Site)(nil)
)

// ErrImpossible: this machine cannot isolate; the text lists what is missing
// and how to mend it.
var ErrImpossible = errors.New("this machine cannot isolate environments")

// New opens the site. ErrImpossible when isolation is wanted and cannot be had.
func New(c Config) (*Site, error) {
	s := &Site{Config: c, locks: map[string]chan struct{}{}, deaf: map[string]int{}}
	switch c.Isolation {
	case IsolationAuto, IsolationNamespaces:
		if problems := Check(); len(problems) > 0 {
			return nil, fmt.Errorf("%w:\n%s\nor run without any isolation: --isolation=none",
				ErrImpossible, strings.Join(Lines(problems), "\n"))
		}
	case IsolationNone:
		s.plain = true
	default:
		return nil, fmt.Errorf("%w: isolation %q; it is \"namespaces\" or \"none\"", site.ErrInvalid, c.Isolation)
	}
	if c.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.LaunchTimeout == 0 {
		s.LaunchTimeout = time.Minute
	}
	if s.plain {
		s.Logger.Warn("NO ISOLATION: instances are plain processes of this user; every one can reach every other and the whole network")
	}
	for _, dir := range []string{c.StateDir, s.dataDir(""), s.wardenDir("")} {
		// Databases and the gateway run under ids of their own, which must be able to
		// walk through.
		if err := makePassable(dir); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
	}
	if err := os.MkdirAll(s.recordDir(), 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return s, nil
}

// makePassable touches nothing that is as it should be: a disk that has turned
// read-only refuses even that.
func makePassable(dir string) error {
	const mode = 0o711
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() == mode {
		return err
	}
	return os.Chmod(dir, mode)
}

// Abilities implements site.Site.
func (s *Site) Abilities() site.Abilities {
	isolation := IsolationNamespaces
	if s.plain {
		isolation = IsolationNone
	}
	return site.Abilities{Isolation: isolation, Relay: true}
}

// Arguments under which this program is something else; see Dispatch.
const (
	relayName = "relay"
	checkName = "isolation-check"
)

// Dispatch runs the parts of the site that are processes of their own. A program
// that uses the site calls it first thing in main, tests in TestMain: the site
// starts them by executing the program itself.
func Dispatch(args []string) (handled bool, code int) {
	if len(args) < 2 {
		return false, 0
	}
	switch args[1] {
	case warden.Name:
		return true, warden.Main(args[2:])
	case runtime.ShimName:
		return true, runtime.Shim()
	case checkName:
		return true, tryIsolation()
	case relayName:
		return true, relay.Main(args[2:])
	}
	return false, 0
}

func (s *Site) wardenDir(environment string) string {
	return filepath.Join(s.StateDir, "w", environment)
}
func (s *Site) dataDir(environment string) string {
	return filepath.Join(s.StateDir, "data", environment)
}
func (s *Site) recordDir() string { return filepath.Join(s.StateDir, "records") }

func (s *Site) client(environment string) *warden.Client {
	return warden.NewClient(s.wardenDir(environment))
}

// lock makes the caller the only one that changes an environment.
func (s *Site) lock(ctx context.Context, environment string) (unlock func(), err error) {
	s.mu.Lock()
	l := s.locks[environment]
	if l == nil {
		l = make(chan struct{}, 1)
		s.locks[environment] = l
	}
	s.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// changing: somebody has the lock of an environment.
func (s *Site) changing(environment string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.locks[environment]) > 0
}

// locked makes the caller the only one that changes an environment, and loads its
// record. site.ErrNotFound when there is none.
func (s *Site) locked(ctx context.Context, environment string) (r *record, unlock func(), err error) {
	if unlock, err = s.lock(ctx, environment); err != nil {
		return nil, nil, err
	}
	if r, err = s.load(environment); err != nil {
		unlock()
		return nil, nil, err
	}
	return r, unlock, nil
}

func pool(environment, service string) string { return environment + "/" + service }
