package memory

import (
	"context"
	"fmt"
	"time"

	"godwit/internal/site"
)

// Call is a call of a method of the site.
type Call struct {
	Method      string
	Environment string
	Service     string // "" when the method has none
	Release     int    // 0 when the method has none
}

func (c Call) String() string {
	return fmt.Sprintf("%s %s/%s release %d", c.Method, c.Environment, c.Service, c.Release)
}

// faults are what tests inject.
type faults struct {
	unready map[string]bool
	fail    func(Call) error
	latency time.Duration
	watch   func(site.Environment)
}

// SetUnready makes instances of an image never become ready.
func (s *Site) SetUnready(image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.unready[image] = true
}

// SetFail makes a call fail, with nothing done, when f returns an error for it.
func (s *Site) SetFail(f func(Call) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.fail = f
}

// SetLatency makes every call take that long before it does anything.
func (s *Site) SetLatency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.latency = d
}

// SetWatch has f called with every state an environment goes through. The site
// is locked meanwhile: f must not call it.
func (s *Site) SetWatch(f func(site.Environment)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.watch = f
}

func (f faults) suffer(ctx context.Context, call Call) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if f.fail != nil {
		if err := f.fail(call); err != nil {
			return err
		}
	}
	if f.latency == 0 {
		return nil
	}
	timer := time.NewTimer(f.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
