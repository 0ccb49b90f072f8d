package journal

import (
	"context"
	"time"
)

// linger returns a context that ends grace after ctx has: the steps after the
// point of no return run under it. A run that was taken is not lingered over.
func linger(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if taken(ctx, nil) {
			cancel(context.Cause(ctx))
			return
		}
		timer := time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(late, func() { timer.Stop() })
	})
	return late, func() {
		stop()
		cancel(nil)
	}
}
