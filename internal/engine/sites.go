package engine

import (
	"cmp"
	"context"
	"fmt"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

// opener opens the site of a world, which has landscape and settings.
type opener func(ctx context.Context, e *Engine, w *world, sink api.Sink) (site.Site, error)

// sites are the places that an engine can run a landscape on. Whoever adds a
// site adds it here; nothing else asks for a name.
func sites() map[string]opener {
	return map[string]opener{defaultSite: openLocal, "aws": openAWS}
}

// defaultSite is where a landscape runs that names no other.
const defaultSite = "local"

func (e *Engine) openSite(ctx context.Context, w *world, sink api.Sink) (err error) {
	name := cmp.Or(w.settings.Site, defaultSite)
	open, known := e.sites[name]
	if !known {
		return api.Fail(api.Usage, "there is no site %q: local and aws are", name)
	}
	w.site, err = open(ctx, e, w, sink)
	return err
}

// What a site may offer beyond site.Site. A site without it says so by not
// implementing it.
type (
	// logReader reads what instances and databases wrote.
	logReader interface {
		Logs(ctx context.Context, environment, service string, tail int, follow bool, line func(instance, text string)) error
	}
	// packetTester sends real packets over every ordered pair.
	packetTester interface {
		CheckIsolation(ctx context.Context, l *landscape.Landscape) (site.Isolation, error)
	}
)

func unsupported(what string) error {
	return api.Fail(api.Failed, "this site offers the engine no %s", what)
}

// Logs sends the lines of instances and databases.
func (e *Engine) Logs(ctx context.Context, r api.LogsRequest, sink api.Sink) (struct{}, error) {
	var done struct{}
	w, err := e.current()
	if err != nil {
		return done, err
	}
	reader, ok := w.site.(logReader)
	if !ok {
		return done, unsupported("logs")
	}
	if r.Environment != "" {
		if _, err := w.environment(r.Environment); err != nil {
			return done, err
		}
	}
	return done, e.readLogs(ctx, w, reader, r, sink)
}

// Isolation sends real packets and compares with the landscape.
func (e *Engine) Isolation(ctx context.Context, sink api.Sink) (api.Isolation, error) {
	w, err := e.current()
	if err != nil {
		return api.Isolation{}, err
	}
	tester, ok := w.site.(packetTester)
	if !ok {
		return api.Isolation{}, unsupported("packet test")
	}
	var found site.Isolation
	err = sink.Timed("isolation", "packets over every ordered pair", func() (err error) {
		found, err = tester.CheckIsolation(ctx, w.landscape)
		return err
	})
	if err != nil {
		return api.Isolation{}, fmt.Errorf("packet test: %w", err)
	}
	return api.Isolation{Pairs: found.Pairs, Allowed: found.Allowed, Denied: found.Denied, Wrong: found.Wrong, Details: found.Details}, nil
}
