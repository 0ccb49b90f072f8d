package aws

import (
	"context"
	"time"
)

// wait looks again and again until look says that it is done, fails, or ctx
// ends. The pauses grow up to the site's.
func (s *Site) wait(ctx context.Context, look func() (done bool, err error)) error {
	pause := max(s.options.Poll/16, time.Millisecond)
	for {
		done, err := look()
		if done || err != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		pause = min(2*pause, s.options.Poll)
	}
}
