package engine

import (
	"context"
	"fmt"
	"time"
)

// sitePatience is how long a site far away may take for one question.
const sitePatience = 20 * time.Second

// asking bounds a question to a site that is far away: one that never answers
// would keep the operation, and with it every other, for ever.
func (e *Engine) asking(ctx context.Context, w *world, what string, ask func(context.Context) error) error {
	if !w.fronted() {
		return ask(ctx)
	}
	limit, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	err := ask(limit)
	if err != nil && limit.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("asking for %s: no answer within %v, look at the network between here and there and try again: %w", what, e.patience, err)
	}
	return err
}
