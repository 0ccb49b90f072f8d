package engine

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/version"
)

// Status reports everything the engine sees. Its parts are asked apart, each with
// a deadline: what does not answer says so where it is shown, and hides nothing else.
func (e *Engine) Status(ctx context.Context) (api.Status, error) {
	s := api.Status{Version: version.Version}
	var trouble error
	s.Unfinished, trouble = e.unfinished(ctx)
	w, err := e.current()
	if err != nil {
		s.Problem = e.secrets.conceal(cmp.Or(e.troubles(), text(trouble)))
		return s, nil
	}
	s.Problem = e.secrets.conceal(text(trouble))
	s.Landscape = w.landscape.Name
	s.Site = cmp.Or(w.settings.Site, defaultSite)
	s.Isolation = w.site.Abilities().Isolation
	s.Migrations = make([]api.Migration, len(w.landscape.Migrations))
	var parts sync.WaitGroup
	parts.Go(func() { s.Gateway = e.gatewayStatus(ctx, w) })
	parts.Go(func() { s.Environments = e.secrets.shown(e.see(ctx, w)) })
	for i, m := range w.landscape.Migrations {
		parts.Go(func() { s.Migrations[i] = e.seeMigration(ctx, m) })
	}
	parts.Wait()
	return s, nil
}

// text of an error, "" when there is none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// unfinished names the runs that have not ended.
func (e *Engine) unfinished(ctx context.Context) ([]string, error) {
	runs, err := e.journal.Unfinished(ctx)
	var names []string
	for _, r := range runs {
		names = append(names, e.secrets.conceal(e.waits(ctx, r)))
	}
	if err != nil {
		err = fmt.Errorf("what is unfinished cannot be read: %w", err)
	}
	return names, err
}

// waits says what an unfinished run waits for, and how it is given up.
func (e *Engine) waits(ctx context.Context, r journal.Run) string {
	name := r.Kind + " " + r.Subject
	record, err := e.journal.Record(ctx, r.ID)
	switch {
	case err != nil:
		return fmt.Sprintf("%s: %v", name, err)
	case record.Outcome.Status != journal.Stuck:
		return name + ": it is under way" + wayOut(r)
	}
	return fmt.Sprintf("%s: step %q cannot be finished nor undone: %s; the engine tries on%s", name, record.Outcome.Failed, text(record.Outcome.Cause), wayOut(r))
}

// seeMigration is the state of a migration, or why it is not known.
func (e *Engine) seeMigration(ctx context.Context, m landscape.Migration) api.Migration {
	state, err := e.MigrationStatus(ctx, m.Name)
	if err != nil {
		state.Name, state.Source, state.Environment = m.Name, m.Source, m.Environment
		state.Problem = e.secrets.conceal(err.Error())
	}
	return state
}

// see looks at the environments side by side. One that is not there is left out;
// one that cannot be seen, or is in trouble, says why.
func (e *Engine) see(ctx context.Context, w *world) []site.Environment {
	names := w.watched()
	seen := make([]*site.Environment, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			o, err := e.ask(ctx, w, name)
			if isNotFound(err) {
				return
			}
			o.Name = name
			o.Problem = e.secrets.conceal(text(err))
			seen[i] = &o
		})
	}
	all.Wait()
	var there []site.Environment
	for _, o := range seen {
		if o != nil {
			there = append(there, *o)
		}
	}
	return there
}

// ask looks at one environment, within a deadline. The error says what is known
// against it, beside what was observed.
func (e *Engine) ask(ctx context.Context, w *world, environment string) (o site.Environment, err error) {
	patience := questionLimit
	if w.fronted() {
		patience = e.patience
	}
	err = answered(ctx, patience, "environment "+environment, func(ctx context.Context) (err error) {
		o, err = w.site.Observe(ctx, environment)
		return err
	})
	if known := e.healers.of(environment).trouble(); known != nil && !isNotFound(err) {
		err = known
	}
	return o, err
}

func (e *Engine) gatewayStatus(ctx context.Context, w *world) api.Gateway {
	g := api.Gateway{Address: w.settings.Listen}
	ctx, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
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
