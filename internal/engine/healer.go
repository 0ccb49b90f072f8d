package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"godwit/internal/site"
)

const (
	// pulseEvery is how often an environment's pulse is taken. A dead one is
	// brought back at once, so this is what a client waits more at most.
	pulseEvery = 150 * time.Millisecond
	// silenceTolerated is how many looks in a row an environment may leave
	// unanswered before it is replaced.
	silenceTolerated = 3
	// reviveLimit bounds one attempt to bring an environment back.
	reviveLimit = 90 * time.Second
	// firstPause and longestPause lie between attempts that failed, or were good
	// for less than shortLife.
	firstPause, longestPause, shortLife = 200 * time.Millisecond, 5 * time.Second, 2 * time.Second
	// youth is how long what was brought back may take to be ready.
	youth = 10 * time.Second
)

// healer brings one environment back whenever it dies, and replaces it when it
// no longer answers. It is one loop, run, that waits for no operation; operations
// that meet a dead environment wait for it. It never decides what an environment
// has: that is what was applied and launched, which the site keeps.
type healer struct {
	name string
	site site.Reviver
	log  *slog.Logger
	kick chan struct{} // somebody has met it dead

	mu     sync.Mutex
	down   error         // why it is known not to live; nil: it lives, or is not there
	since  time.Time     // when it went down, fell silent, or came back
	silent error         // it has left looks unanswered, but not enough of them
	misses int           // looks in a row that were left unanswered
	failed error         // why the last attempt to bring it back failed
	turned chan struct{} // closed, and made new, when down or failed change
	life   context.Context
	end    context.CancelCauseFunc
	pause  time.Duration
	lived  bool // it was brought back
}

var errUnseen = errors.New("nobody has looked at it yet")

func newHealer(name string, s site.Reviver, log *slog.Logger) *healer {
	h := &healer{name: name, site: s, log: log.With("environment", name), kick: make(chan struct{}, 1), turned: make(chan struct{})}
	h.down = errUnseen
	h.begin()
	h.end(h.down)
	return h
}

// run is the loop; it ends with ctx.
func (h *healer) run(ctx context.Context) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		h.look(ctx)
		select {
		case <-ctx.Done():
			h.dies(errors.New("nobody looks after it any more"))
			return
		case <-tick.C:
		case <-h.kick:
		}
	}
}

// look takes the pulse and acts on it.
func (h *healer) look(ctx context.Context) {
	err := h.pulse(ctx)
	switch {
	case ctx.Err() != nil:
	case err == nil || isNotFound(err):
		h.lives()
	case errors.Is(err, site.ErrDead) || h.missed(err) >= silenceTolerated:
		h.dies(err)
		h.bringBack(ctx)
	}
}

// pulse does not rely on the site to answer in time.
func (h *healer) pulse(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, site.PulseLimit+time.Second)
	defer cancel()
	return h.site.Pulse(limit, h.name)
}

// bringBack tries once, and pauses when that was not good for long.
func (h *healer) bringBack(ctx context.Context) {
	h.log.Warn("an environment has died or is silent; bringing it back", "cause", h.trouble())
	started := time.Now()
	err := h.attempt(ctx)
	if ctx.Err() != nil {
		return
	}
	if err == nil || isNotFound(err) {
		h.log.Warn("an environment is back", "took", time.Since(started))
		h.lives()
		return
	}
	h.log.Error("an environment cannot be brought back; trying again", "error", err)
	h.turn(func() { h.failed = err })
	h.rest(ctx)
}

// attempt brings an environment back, or ends early when what it has started falls
// silent: a supervisor that hangs then would keep it until reviveLimit.
func (h *healer) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reviveLimit)
	var watching sync.WaitGroup
	watching.Go(func() { h.untilSilent(ctx, cancel) })
	defer func() { cancel(); watching.Wait() }()
	return h.site.Revive(ctx, h.name)
}

// untilSilent calls fell when as many looks in a row are left unanswered as are
// tolerated. That nothing is there yet is an answer.
func (h *healer) untilSilent(ctx context.Context, fell func()) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for misses := 0; misses < silenceTolerated; misses++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := h.pulse(ctx); err == nil || isNotFound(err) || errors.Is(err, site.ErrDead) {
			misses = -1
		}
	}
	fell()
}

// rest keeps an environment that cannot live from using all of the machine.
func (h *healer) rest(ctx context.Context) {
	h.pause = min(max(2*h.pause, firstPause), longestPause)
	timer := time.NewTimer(h.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// missed counts a look that was left unanswered.
func (h *healer) missed(err error) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.misses++; h.misses == 1 {
		h.since = time.Now()
		h.log.Warn("an environment does not answer", "error", err)
	}
	h.silent = err
	return h.misses
}

// lives: it has answered, or there is nothing that should.
func (h *healer) lives() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.misses, h.silent = 0, nil
	if h.down == nil {
		if h.pause > 0 && time.Since(h.since) > shortLife {
			h.pause = 0
		}
		return
	}
	h.lived = h.down != errUnseen // at the first look it may have lived for long
	h.down, h.failed, h.since = nil, nil, time.Now()
	h.begin()
	h.tell()
}

// dies ends the life of an environment: whoever acts in it learns it at once.
func (h *healer) dies(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down != nil {
		return
	}
	h.down = why
	if h.misses == 0 {
		h.since = time.Now()
	}
	h.end(why)
	h.tell()
}

// begin begins a life; h is locked.
func (h *healer) begin() { h.life, h.end = context.WithCancelCause(context.Background()) }

// tell tells whoever waits; h is locked.
func (h *healer) tell() {
	close(h.turned)
	h.turned = make(chan struct{})
}

// turn changes something that somebody may be waiting for.
func (h *healer) turn(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
	h.tell()
}

// trouble is what is known against an environment, nil when it is well.
func (h *healer) trouble() error {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	since := h.since.Format(time.TimeOnly)
	switch {
	case h.down != nil && h.failed != nil:
		return fmt.Errorf("it is down since %s and cannot be brought back: %w; the engine tries again", since, h.failed)
	case h.down != nil:
		return fmt.Errorf("%w (since %s); the engine is bringing it back", h.down, since)
	case h.silent != nil:
		return fmt.Errorf("%w (since %s); the engine replaces it if that goes on", h.silent, since)
	}
	return nil
}

// young: the environment has been brought back just now, and what runs in it may
// not be ready yet.
func (h *healer) young() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lived && time.Since(h.since) < youth
}

// alive waits until the environment lives, as long as ctx allows. What it returns
// ends when this life does. hasty does not wait for a second attempt to bring the
// environment back.
func (h *healer) alive(ctx context.Context, hasty bool) (life context.Context, err error) {
	for {
		h.mu.Lock()
		life, turned, down, failed := h.life, h.turned, h.down, h.failed
		h.mu.Unlock()
		switch {
		case down == nil:
			return life, nil
		case hasty && failed != nil:
			return nil, fmt.Errorf("environment %s is down and cannot be brought back: %w", h.name, failed)
		}
		select {
		case <-turned:
		case <-ctx.Done():
			if failed != nil {
				down = failed
			}
			return nil, fmt.Errorf("environment %s is down, and not back yet (%w): %w", h.name, context.Cause(ctx), down)
		}
	}
}

// now is the life that there is, or was last.
func (h *healer) now() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.life
}

// met is called by whoever has met an error in the environment: it says whether
// that is because the environment has died, in the life that it was met in.
func (h *healer) met(ctx, life context.Context) bool {
	if life.Err() != nil {
		return true
	}
	err := h.pulse(ctx)
	if !errors.Is(err, site.ErrDead) {
		return false
	}
	h.dies(err)
	select {
	case h.kick <- struct{}{}:
	default:
	}
	return true
}
