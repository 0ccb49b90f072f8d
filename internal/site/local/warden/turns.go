//go:build linux

package warden

import (
	"context"
	"runtime"
	"time"
)

const (
	// startsEach is how many instances each processor starts at once: all at once
	// take longer for each than one after the other, and the first would be given
	// up before the last has begun.
	startsEach = 4
	// startsSoon is how long an instance keeps its turn unless it is ready before:
	// one that is slow by waiting keeps nobody back.
	startsSoon = time.Second
)

// turns bound how many instances start at once.
type turns chan struct{}

func newTurns() turns { return make(turns, startsEach*runtime.NumCPU()) }

// take waits for a turn; false when ctx ended first.
func (t turns) take(ctx context.Context) (free func(), ok bool) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, true
	case <-ctx.Done():
		return nil, false
	}
}
