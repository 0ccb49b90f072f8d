package gateway

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAThousandHeldGoEachOnce: a request that was let go does not queue again
// behind those that still wait.
func TestAThousandHeldGoEachOnce(t *testing.T) {
	t.Parallel()
	r := serving(t, one(newBackend(t, says("served")).endpoint("a", 1)), func(c *Config) { c.MaxHeld = 8 * releaseBatch })
	r.hold("h", time.Minute)
	ctx := deadline(t, 20*time.Second)
	var clients sync.WaitGroup
	var passed, looked atomic.Int64
	for range 8 * releaseBatch {
		clients.Go(func() {
			pass, err := r.control.admit(countedContext{ctx, &looked}, host, departure{})
			if err != nil {
				t.Errorf("let go and refused: %v", err)
				return
			}
			passed.Add(1)
			pass.leave()
		})
	}
	until(t, "all wait", func() bool { return r.waiting("h") == 8*releaseBatch })
	r.control.Release("h")
	clients.Wait()
	if passed.Load() != 8*releaseBatch {
		t.Errorf("%d passed", passed.Load())
	}
	if looked.Load() != 8*releaseBatch {
		t.Errorf("%d requests queued %d times", passed.Load(), looked.Load())
	}
}

// countedContext counts how often a hold waited with it.
type countedContext struct {
	context.Context
	waits *atomic.Int64
}

func (c countedContext) Done() <-chan struct{} {
	c.waits.Add(1)
	return c.Context.Done()
}

var _ = http.MethodGet
