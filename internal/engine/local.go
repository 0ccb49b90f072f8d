package engine

import (
	"context"
	"path/filepath"

	"godwit/internal/api"
	"godwit/internal/site"
	"godwit/internal/site/local"
	"godwit/internal/site/local/postgres"
)

// openLocal opens the local site and installs Postgres when the machine has none.
func openLocal(ctx context.Context, e *Engine, s settings, sink api.Sink) (site.Site, error) {
	inst, err := postgres.Find(ctx)
	if err != nil {
		err = sink.Timed("postgres", "install", func() (err error) {
			inst, err = postgres.Install(ctx, func(line string) {
				sink.Event(api.Event{Scope: "postgres", State: "note", Message: line})
			})
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	return local.New(local.Config{
		StateDir: filepath.Join(e.dir, "env"), Images: e.images, ImagesDir: filepath.Join(e.dir, "images"), Postgres: inst, Gateway: e.gateway,
		Isolation: s.Isolation, Logger: e.log,
	})
}
