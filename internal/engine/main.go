package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"godwit/internal/api"
	"godwit/internal/confine"
	"godwit/internal/sockets"
	"godwit/internal/store"
	"godwit/internal/version"
	"godwit/internal/watch"
)

const (
	// recoverTimeout bounds finishing or undoing what a killed engine left.
	recoverTimeout = 50 * time.Second
	// stopTimeout bounds the wait for operations when the engine is told to end,
	// exitTimeout that for everything.
	stopTimeout = 20 * time.Second
	exitTimeout = stopTimeout + 5*time.Second
	// claimPatience is how long an engine waits for one that is about to end.
	claimPatience = time.Second
	// longestSocket is what the kernel takes as a unix socket's path.
	longestSocket = 100
)

// Main is the process `godwit engine --state DIR`. It logs to stderr.
func Main(args []string) int {
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	dir := flags.String("state", "", "state `directory`")
	standBy := flags.Bool("stand-by", false, "when an engine runs already, wait to take its place; told to end, end that one too")
	list := flags.String("inherit", "", "what it inherits from a watchdog")
	confined := flags.Bool("confined", false, "it can do no more than it needs, nor can what it starts")
	if err := flags.Parse(args); err != nil || *dir == "" {
		return 2
	}
	keepOnly(watch.EngineEnv(os.Environ()))
	if !*confined {
		again := slices.Concat([]string{"godwit", "engine"}, args, []string{"--confined"})
		if err := confine.Maker(again, os.Environ()); !errors.Is(err, errors.ErrUnsupported) {
			fmt.Fprintln(os.Stderr, "godwit engine:", err)
			return 1
		}
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w, err := become(ctx, watch.At(*dir), *list, *standBy, log)
	if err == nil && w != nil {
		err = within(ctx, exitTimeout, func() error { return serve(ctx, w, log) })
	}
	if err != nil {
		log.Error("engine ends", "error", err)
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, store.ErrLocked) || errors.Is(err, watch.ErrRunning) {
			return api.ExitOccupied
		}
		return 1
	}
	return 0
}

// keepOnly takes everything out of the environment that an engine does not need.
func keepOnly(pairs []string) {
	os.Clearenv()
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		_ = os.Setenv(name, value) // it was one before
	}
}

// become makes this process the engine of a place, with the sockets that the last
// one has left. nil when it was told to end while it stood by.
func become(ctx context.Context, p watch.Place, list string, standBy bool, log *slog.Logger) (*watch.Watch, error) {
	kept, lock, err := sockets.Inherit(list)
	if err != nil {
		return nil, err
	}
	if err := p.Make(); err != nil {
		return nil, err
	}
	w := watch.New(p, kept, log)
	if lock != nil {
		return w, p.Claim(ctx, watch.Engine, lock)
	}
	err = becomeSoon(ctx, p)
	if standBy && errors.Is(err, watch.ErrRunning) {
		log.Info("another engine runs: standing by to take its place", "state", p.Dir())
		err = p.Claim(ctx, watch.Engine, nil)
		switch {
		case ctx.Err() != nil:
			return nil, endOther(p)
		case err == nil && !p.Wanted():
			return nil, nil // the one that ran was told to end, and this one with it
		}
	}
	if err != nil {
		return nil, err
	}
	w.Take(ctx)
	return w, nil
}

func becomeSoon(ctx context.Context, p watch.Place) error {
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	return p.Claim(ctx, watch.Engine, nil)
}

// endOther tells the engine that runs to end, and waits for that.
func endOther(p watch.Place) error {
	limit, cancel := context.WithTimeout(context.Background(), exitTimeout)
	defer cancel()
	if err := errors.Join(p.Unwant(), p.Signal(watch.Engine, syscall.SIGTERM)); err != nil {
		return err
	}
	return p.Gone(limit, watch.Engine)
}

// within runs the engine, and gives up waiting for it some time after ctx has
// ended: what hangs then is the next engine's to settle, as if this one had been
// killed.
func within(ctx context.Context, patience time.Duration, run func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-ended:
		return err
	case <-limit.C:
		return fmt.Errorf("the engine was told to end, and something in it still runs after %v; the next engine settles it", patience)
	}
}

// serve runs the engine until ctx ends or down was asked for.
func serve(ctx context.Context, w *watch.Watch, log *slog.Logger) (err error) {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	e, err := open(w, log, sites(), quit)
	if err != nil {
		return err
	}
	log = e.log
	defer func() { err = errors.Join(err, e.close()) }()
	// The store's lock is held: no other engine listens here.
	ln, err := e.listen()
	if err != nil {
		return err
	}
	var keeping sync.WaitGroup
	defer keeping.Wait()
	defer quit()
	recovered := make(chan struct{})
	keeping.Go(func() { e.keepWatched(ctx) })
	keeping.Go(func() {
		if err := e.recover(ctx); err != nil {
			log.Error("what the last engine left could not be settled yet; status shows it, the next operation tries again", "error", err)
		}
		close(recovered)
		keeping.Go(func() { e.keepGateway(ctx) })
		keeping.Go(func() { e.keepStreams(ctx) })
		keeping.Go(func() { e.keepSettled(ctx) })
		keeping.Go(func() { e.keepRelays(ctx) })
		keeping.Go(func() { e.boundWAL(ctx) })
	})
	return e.serveAPI(ctx, ln, after(recovered, api.Handler(e, version.Version)))
}

// after lets requests wait until what a killed engine left is settled: nothing new
// is asked for before. Only whoever watches whether this process lives is answered
// at once.
func after(recovered <-chan struct{}, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == watch.Liveness {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		select {
		case <-recovered:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// keepWatched has two watchdogs watch this process until it is told to end, as
// the process watches them.
func (e *Engine) keepWatched(ctx context.Context) {
	if err := errors.Join(e.watch.Want(), e.watch.Open()); err != nil {
		e.log.Error("nobody watches this engine", "error", err)
	}
	var keeping sync.WaitGroup
	defer keeping.Wait()
	keeping.Go(func() { e.watch.KeepShared(ctx) })
	e.watch.Keep(ctx, watch.First, watch.Second)
}

// every looks again and again until ctx ends.
func every(ctx context.Context, period time.Duration, look func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			look()
		}
	}
}

// maxOfUser is how many connections to the API a user may have that do not ask
// anything yet, and how many requests.
const maxOfUser = 256

// Admit implements api.Admitter.
func (e *Engine) Admit(ctx context.Context) (leave func(), err error) { return sockets.Admit(ctx) }

// serveAPI answers until ctx ends, then lets operations finish or undo. From the
// instant that it is told to end, nobody starts this engine again.
func (e *Engine) serveAPI(ctx context.Context, ln net.Listener, handler http.Handler) error {
	operations, cancel := context.WithCancel(context.Background())
	defer cancel()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		BaseContext:       func(net.Listener) context.Context { return operations },
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelWarn),
	}
	ln = sockets.Bounded(ln, server, maxOfUser)
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		e.resign()
		cancel() // operations under way undo what they began
		limit, done := context.WithTimeout(context.Background(), stopTimeout)
		defer done()
		stopped <- ending(server.Shutdown(limit))
	})
	defer stop()
	e.log.Info("engine serves", "socket", ln.Addr().String(), "pid", os.Getpid())
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// resign lets nobody start this engine again, nor wait for it at its socket.
func (e *Engine) resign() {
	if err := e.watch.Unwant(); err != nil {
		e.log.Error("this engine was told to end, and will be started again", "error", err)
	}
	e.watch.Sockets.Drop(sockets.API)
	ctx, cancel := context.WithTimeout(context.Background(), claimPatience)
	defer cancel()
	e.watch.Share(ctx)
}

// ending says what a shutdown that took too long means.
func ending(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("an operation did not end within %v; the next engine finishes or undoes it", stopTimeout)
	}
	return err
}

// listen is the API's socket, for this user only. It outlives the engine: who
// connects while that is away waits for the next one.
func (e *Engine) listen() (net.Listener, error) {
	if path := e.watch.APISocket(); len(path) > longestSocket {
		return nil, fmt.Errorf("the state directory's path is too long for a unix socket (%d of %d bytes): choose a shorter one with --state", len(path), longestSocket)
	}
	if !e.watch.Sockets.Has(sockets.API) {
		if err := e.watch.Listen("unix", sockets.API, e.watch.APISocket()); err != nil {
			return nil, err
		}
	}
	return e.watch.Sockets.Listener(sockets.API)
}
