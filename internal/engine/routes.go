package engine

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sort"

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
	if !w.fronted() { // fronts take the requests for what does not move
		for _, in := range w.landscape.Ingresses {
			for _, env := range w.landscape.Environments {
				routes[landscape.IngressHost(w.landscape, in, env.Name)] = poolName(env.Name, in.Service)
			}
		}
	}
	for _, m := range w.landscape.Migrations {
		found, err := e.migration(ctx, w, m.Name)
		if err != nil {
			return nil, err
		}
		for host, pool := range migrationRoutes(w.landscape, m, found.state.Truth) {
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

// adoptSources is as much of adopt as depends on no environment: clients reach the
// data centre through the gateway, whatever fails later.
func (e *Engine) adoptSources(ctx context.Context, w *world) error {
	pools, err := e.pools(ctx, w)
	if err != nil {
		return err
	}
	for name, pool := range pools {
		if err := e.gateway.SetPool(ctx, name, pool); err != nil {
			return err
		}
	}
	routes, err := e.routes(ctx, w)
	if err != nil {
		return err
	}
	maps.DeleteFunc(routes, func(_, pool string) bool { _, ours := pools[pool]; return !ours })
	return e.gateway.SetRoutes(ctx, routes)
}

// adopt makes the data centre's services known to the gateway and points every
// route where the truth is. No other host is answered after it.
func (e *Engine) adopt(ctx context.Context, w *world) ([]api.Route, error) {
	pools, err := e.pools(ctx, w)
	if err != nil {
		return nil, err
	}
	for name, pool := range pools {
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
	return sortedRoutes(routes), e.disown(ctx, w, routes, pools)
}

// disown takes away the routes that are no longer declared, and the pools that
// are not and that no site keeps.
func (e *Engine) disown(ctx context.Context, w *world, routes map[string]string, pools map[string]gateway.Pool) error {
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
		if _, declared := pools[name]; declared || !w.foreign(name) || routed(routes, name) {
			continue
		}
		if err := e.gateway.DeletePool(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// routed: a route leads to a pool. That of a front which cannot be found just now
// stays as long as clients are sent there.
func routed(routes map[string]string, pool string) bool {
	return slices.Contains(slices.Collect(maps.Values(routes)), pool)
}

// pools are both sides of the migrations, as far as the engine sets them.
func (e *Engine) pools(ctx context.Context, w *world) (map[string]gateway.Pool, error) {
	pools := map[string]gateway.Pool{}
	for _, m := range w.landscape.Migrations {
		fronts, _, err := e.frontPools(ctx, w, m)
		if err != nil {
			return nil, err
		}
		maps.Copy(pools, fronts)
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
