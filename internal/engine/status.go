package engine

import (
	"cmp"
	"context"

	"godwit/internal/api"
	"godwit/internal/site"
	"godwit/internal/version"
)

// Status reports everything the engine sees.
func (e *Engine) Status(ctx context.Context) (api.Status, error) {
	s := api.Status{Version: version.Version}
	unfinished, err := e.journal.Unfinished(ctx)
	if err != nil {
		return s, err
	}
	for _, u := range unfinished {
		s.Unfinished = append(s.Unfinished, u.Kind+" "+u.Subject)
	}
	w, err := e.current()
	if err != nil {
		s.Problem = e.secrets.conceal(e.troubles())
		return s, nil
	}
	s.Landscape = w.landscape.Name
	s.Site = cmp.Or(w.settings.Site, defaultSite)
	s.Isolation = w.site.Abilities().Isolation
	s.Gateway = e.gatewayStatus(ctx, w)
	var observed []site.Environment
	err = e.asking(ctx, w, "what runs", func(ctx context.Context) (err error) {
		observed, err = e.observe(ctx, w, w.watched())
		return err
	})
	if err != nil {
		s.Problem = err.Error()
	}
	s.Environments = withoutValues(observed)
	for _, m := range w.landscape.Migrations {
		state, err := e.MigrationStatus(ctx, m.Name)
		if err != nil {
			return s, err
		}
		s.Migrations = append(s.Migrations, state)
	}
	return s, nil
}

func (e *Engine) gatewayStatus(ctx context.Context, w *world) api.Gateway {
	g := api.Gateway{Address: w.settings.Listen}
	table, err := e.gateway.Table(ctx)
	if err != nil {
		return g
	}
	g.Healthy = true
	routes := map[string]string{}
	for host, r := range table.Routes {
		routes[host] = r.Pool
	}
	g.Routes = sortedRoutes(routes)
	return g
}
