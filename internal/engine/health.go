package engine

import (
	"context"

	"godwit/internal/api"
	"godwit/internal/version"
)

// Health is what the engine knows by itself. Commands begin with it.
func (e *Engine) Health(context.Context) (api.Alive, error) {
	h := api.Alive{Version: version.Version, Since: e.since, UnderWay: e.underWay()}
	if w, err := e.current(); err == nil {
		for _, m := range w.landscape.Migrations {
			h.Migrations = append(h.Migrations, m.Name)
		}
	}
	return h, nil
}
