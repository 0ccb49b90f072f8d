package engine

import (
	"context"
	"fmt"
	"net/url"
	"sort"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/gateway"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
)

// routes says where every host goes: to its environment's service, or to the
// data centre's while that holds the truth.
func (e *Engine) routes(ctx context.Context, w *world) (map[string]string, error) {
	routes := map[string]string{}
	for _, in := range w.landscape.Ingresses {
		for _, env := range w.landscape.Environments {
			routes[landscape.IngressHost(w.landscape, in, env.Name)] = poolName(env.Name, in.Service)
		}
	}
	for _, m := range w.landscape.Migrations {
		state, err := e.migrationState(ctx, w, m.Name)
		if err != nil {
			return nil, err
		}
		if state.Truth != migrate.Source {
			continue
		}
		for host, pool := range migrationRoutes(w.landscape, m, migrate.Source) {
			routes[host] = pool
		}
	}
	return routes, nil
}

// migrationRoutes are the hosts that a migration moves, and where a side serves them.
func migrationRoutes(l *landscape.Landscape, m landscape.Migration, side migrate.Side) map[string]string {
	src, _ := l.Source(m.Source)
	routes := map[string]string{}
	for _, in := range l.Ingresses {
		for _, s := range src.Services {
			if s.Name != in.Service {
				continue
			}
			pool := poolName(m.Environment, s.Name)
			if side == migrate.Source {
				pool = sourcePool(m.Source, s.Name)
			}
			routes[landscape.IngressHost(l, in, m.Environment)] = pool
		}
	}
	return routes
}

// adopt makes the data centre's services known to the gateway and points every
// route where the truth is. No other host is answered after it.
func (e *Engine) adopt(ctx context.Context, w *world) ([]api.Route, error) {
	sources, err := w.sourcePools()
	if err != nil {
		return nil, err
	}
	for name, pool := range sources {
		if err := e.gateway.SetPool(ctx, name, pool); err != nil {
			return nil, err
		}
	}
	routes, err := e.routes(ctx, w)
	if err != nil {
		return nil, err
	}
	if err := e.gateway.SetRoutes(ctx, routes); err != nil {
		return nil, err
	}
	return sortedRoutes(routes), e.disown(ctx, routes, sources)
}

// disown takes away the routes that are no longer declared, and the pools of
// data centres that are not. Pools of environments are their site's.
func (e *Engine) disown(ctx context.Context, routes map[string]string, sources map[string]gateway.Pool) error {
	table, err := e.gateway.Table(ctx)
	if err != nil {
		return err
	}
	for host := range table.Routes {
		if _, declared := routes[host]; declared {
			continue
		}
		if err := e.gateway.DeleteRoute(ctx, host); err != nil {
			return err
		}
	}
	for name := range table.Pools {
		if _, declared := sources[name]; declared || !strings.HasPrefix(name, sourcePools) {
			continue
		}
		if err := e.gateway.DeletePool(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// sourcePools are the data centre's services as pools.
func (w *world) sourcePools() (map[string]gateway.Pool, error) {
	pools := map[string]gateway.Pool{}
	for _, m := range w.landscape.Migrations {
		src, _ := w.landscape.Source(m.Source)
		for _, s := range src.Services {
			pool, err := w.settings.endpoint(s)
			if err != nil {
				return nil, err
			}
			pools[sourcePool(src.Name, s.Name)] = pool
		}
	}
	return pools, nil
}

// endpoint is a data centre's service as a pool of one.
func (s settings) endpoint(source landscape.SourceEndpoint) (gateway.Pool, error) {
	text, err := s.value(source.URL)
	if err != nil {
		return gateway.Pool{}, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return gateway.Pool{}, api.Fail(api.Usage, "source service %q: its url must be http://HOST:PORT", source.Name)
	}
	address := u.Host
	if u.Port() == "" {
		address += ":80"
	}
	return gateway.Pool{
		Endpoints: []gateway.Endpoint{{ID: fmt.Sprintf("source-%s", source.Name), Address: address}},
		Weights:   fleet.Weights{0: 1},
	}, nil
}

func sortedRoutes(routes map[string]string) []api.Route {
	list := []api.Route{}
	for host, pool := range routes {
		list = append(list, api.Route{Host: host, Pool: pool})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Host < list[j].Host })
	return list
}
