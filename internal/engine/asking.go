package engine

import (
	"context"
	"fmt"
	"time"
)

const (
	// sitePatience is how long a site far away may take for one question.
	sitePatience = 20 * time.Second
	// questionLimit bounds a question to one part of this machine.
	questionLimit = 2500 * time.Millisecond
)

// asking bounds a question to a site that is far away: one that never answers
// would keep the operation, and with it every other, for ever.
func (e *Engine) asking(ctx context.Context, w *world, what string, ask func(context.Context) error) error {
	if !w.fronted() {
		return ask(ctx)
	}
	return answered(ctx, e.patience, what, ask)
}

// answered bounds a question, and says so when that is why there is no answer.
func answered(ctx context.Context, patience time.Duration, what string, ask func(context.Context) error) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := ask(limit)
	if err != nil && limit.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("asking for %s: no answer within %v, look at what lies between here and there and try again: %w", what, patience, err)
	}
	return err
}
