package engine

import (
	"context"

	"golang.org/x/sync/errgroup"

	"godwit/internal/api"
)

// readLogs reads the environments one after the other; when following, side by
// side until the client goes.
func (e *Engine) readLogs(ctx context.Context, w *world, reader logReader, r api.LogsRequest, sink api.Sink) error {
	g, ctx := errgroup.WithContext(ctx)
	if !r.Follow {
		g.SetLimit(1)
	}
	for _, env := range w.landscape.Environments {
		if r.Environment != "" && r.Environment != env.Name {
			continue
		}
		g.Go(func() error {
			return reader.Logs(ctx, env.Name, r.Service, r.Tail, r.Follow, func(instance, text string) {
				sink.Row(api.LogLine{Environment: env.Name, Instance: instance, Line: e.secrets.conceal(text)})
			})
		})
	}
	return g.Wait()
}
