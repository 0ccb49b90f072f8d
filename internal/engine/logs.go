package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"godwit/internal/api"
)

// readLogs reads the environments one after the other; when following, side by
// side until the client goes. One that cannot be read keeps nobody from the others.
func (e *Engine) readLogs(ctx context.Context, w *world, reader logReader, r api.LogsRequest, sink api.Sink) error {
	var g errgroup.Group
	if !r.Follow {
		g.SetLimit(1)
	}
	var mu sync.Mutex
	var errs []error
	for _, env := range w.landscape.Environments {
		if r.Environment != "" && r.Environment != env.Name {
			continue
		}
		g.Go(func() error {
			err := reader.Logs(ctx, env.Name, r.Service, r.Tail, r.Follow, func(instance, text string) {
				sink.Row(api.LogLine{Environment: env.Name, Instance: instance, Line: e.secrets.conceal(text)})
			})
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("environment %s: %w", env.Name, err))
			}
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}
