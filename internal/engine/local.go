package engine

import (
	"context"
	"os"
	"path/filepath"

	"godwit/internal/api"
	"godwit/internal/confine"
	"godwit/internal/site"
	"godwit/internal/site/local"
	"godwit/internal/site/local/postgres"
)

// openLocal opens the local site.
func openLocal(ctx context.Context, e *Engine, w *world, sink api.Sink) (site.Site, error) {
	inst, err := ensurePostgres(ctx, sink)
	if err != nil {
		return nil, err
	}
	return local.New(local.Config{
		StateDir: filepath.Join(e.dir, "env"), Images: e.images, ImagesDir: filepath.Join(e.dir, "images"), Postgres: inst, Gateway: e.gateway, GatewayID: gatewayID(e.dir),
		Isolation: w.settings.Isolation, Logger: e.log,
	})
}

// gatewayID is the gateway's, where it is another than this process's.
func gatewayID(dir string) int {
	if os.Geteuid() != 0 {
		return 0
	}
	return confine.GatewayID(dir)
}

// ensurePostgres finds the machine's Postgres, and installs it when it has none.
func ensurePostgres(ctx context.Context, sink api.Sink) (postgres.Installation, error) {
	inst, err := postgres.Find(ctx)
	if err == nil {
		return inst, nil
	}
	err = sink.Timed("postgres", "install", func() (err error) {
		inst, err = postgres.Install(ctx, func(line string) {
			sink.Event(api.Event{Scope: "postgres", State: "note", Message: line})
		})
		return err
	})
	return inst, err
}
