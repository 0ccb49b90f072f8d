// Package service is what bistro's three programs have in common: configuration
// from the environment, a server that listens at once and ends gracefully, and
// answers in JSON.
//
// It guarantees: /healthz says only that the program listens, whatever its
// database does; after SIGTERM or SIGINT no new connection is taken, requests in
// flight are answered, and Run returns nil.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drainTimeout bounds how long requests in flight may take after a signal.
const drainTimeout = 15 * time.Second

// Main runs a program and turns its error into an exit status.
func Main(name, version string, run func(context.Context, *slog.Logger) error) {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("service", name, "version", version)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, log); err != nil {
		log.Error("ended", "error", err)
		os.Exit(1)
	}
	log.Info("ended")
}

// Address to listen on: LISTEN, else HOST (every address) and PORT (8080).
func Address() string {
	if listen := os.Getenv("LISTEN"); listen != "" {
		return listen
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	return net.JoinHostPort(os.Getenv("HOST"), port)
}

// Required is a setting that the program can't do without.
func Required(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	return value, nil
}

// Serve answers requests until ctx ends, then drains.
func Serve(ctx context.Context, log *slog.Logger, address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	log.Info("listening", "address", listener.Addr().String())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.Handle("/", handler)
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	return drain(server, served)
}

func drain(server *http.Server, served <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if err != nil {
		return fmt.Errorf("drain: %w", errors.Join(err, server.Close()))
	}
	return nil
}
