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
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"godwit/internal/api"
	"godwit/internal/store"
	"godwit/internal/version"
)

const (
	// recoverTimeout bounds finishing or undoing what a killed engine left.
	recoverTimeout = 50 * time.Second
	// stopTimeout bounds the wait for operations when the engine is told to end,
	// exitTimeout that for everything.
	stopTimeout = 20 * time.Second
	exitTimeout = stopTimeout + 5*time.Second
	// socketName is where the API is found. It stays when the engine is killed:
	// that is how a command knows that an engine should run.
	socketName = "engine.sock"
	// longestSocket is what the kernel takes as a unix socket's path.
	longestSocket = 100
)

// Main is the process `godwit engine --state DIR`. It logs to stderr.
func Main(args []string) int {
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	dir := flags.String("state", "", "state directory")
	if err := flags.Parse(args); err != nil || *dir == "" {
		return 2
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := within(ctx, exitTimeout, func() error { return serve(ctx, *dir, log) }); err != nil {
		log.Error("engine ends", "error", err)
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, store.ErrLocked) {
			return api.ExitOccupied
		}
		return 1
	}
	return 0
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
func serve(ctx context.Context, dir string, log *slog.Logger) (err error) {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	e, err := open(dir, log, sites(), quit)
	if err != nil {
		return err
	}
	log = e.log
	defer func() { err = errors.Join(err, e.close()) }()
	// The store's lock is held: no other engine listens here, and what a killed
	// one left is settled before anybody can ask for something new.
	if err := e.recover(ctx); err != nil {
		log.Error("what the last engine left could not be settled yet; status shows it, the next operation tries again", "error", err)
	}
	ln, err := listen(filepath.Join(dir, socketName))
	if err != nil {
		return err
	}
	var keeping sync.WaitGroup
	keeping.Go(func() { e.keepGateway(ctx) })
	keeping.Go(func() { e.keepStreams(ctx) })
	keeping.Go(func() { e.keepSettled(ctx) })
	keeping.Go(func() { e.keepRelays(ctx) })
	defer keeping.Wait()
	defer quit()
	return serveAPI(ctx, ln, e, log)
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

// serveAPI answers until ctx ends, then lets operations finish or undo.
func serveAPI(ctx context.Context, ln net.Listener, e *Engine, log *slog.Logger) error {
	operations, cancel := context.WithCancel(context.Background())
	defer cancel()
	server := &http.Server{
		Handler:           api.Handler(e, version.Version),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return operations },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		cancel() // operations under way undo what they began
		limit, done := context.WithTimeout(context.Background(), stopTimeout)
		defer done()
		stopped <- ending(server.Shutdown(limit))
	})
	defer stop()
	log.Info("engine serves", "socket", ln.Addr().String(), "pid", os.Getpid())
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// ending says what a shutdown that took too long means.
func ending(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("an operation did not end within %v; the next engine finishes or undoes it", stopTimeout)
	}
	return err
}

// listen makes the API's socket, for this user only.
func listen(path string) (net.Listener, error) {
	if len(path) > longestSocket {
		return nil, fmt.Errorf("the state directory's path is too long for a unix socket (%d of %d bytes): choose a shorter one with --state", len(path), longestSocket)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	ln, err := net.Listen("unix", path)
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	return ln, err
}
