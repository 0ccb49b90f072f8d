//go:build linux

package warden

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/site/local/runtime"
)

// steady is how long an instance must have run for its next end to count as the first.
const steady = 30 * time.Second

// keeper keeps one instance running.
type keeper struct {
	Instance
	w *warden

	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	status Status
	served bool // it has been ready
	fresh  bool // it has not been ready since it was last started
	run    *runtime.Instance
}

func newKeeper(i Instance, w *warden) *keeper {
	return &keeper{Instance: i, w: w, done: make(chan struct{}), fresh: true,
		status: Status{ID: i.Spec.ID, Address: i.Spec.Address, Meta: i.Meta, Reason: "waits for its turn to start"}}
}

// What ends is started again within eagerPause, so that what it waited for (room on the
// disk of a database, another service) is noticed at once; after half a minute of
// that, within calmPause.
const (
	eagerPause, eagerTries = 500 * time.Millisecond, 60
	calmPause              = 10 * time.Second
)

// keep runs the instance until ctx ends, starting it again whenever it ends.
func (k *keeper) keep(ctx context.Context) {
	defer close(k.done)
	defer k.w.links.Disconnect(k.Spec.Address)
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, eagerPause
	for tries := 1; ; tries++ {
		began := time.Now()
		k.runOnce(ctx)
		if ctx.Err() != nil {
			k.set(func(s *Status) { s.Stopped = true })
			return
		}
		if time.Since(began) > steady {
			pause.Reset()
			tries = 1
		}
		pause.MaxInterval = eagerPause
		if tries > eagerTries {
			pause.MaxInterval = calmPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

func (k *keeper) runOnce(ctx context.Context) {
	free, ok := k.turn(ctx)
	if !ok {
		return
	}
	k.set(func(s *Status) { s.Reason = "starting" })
	run, err := k.start(ctx)
	if err != nil {
		free()
		k.ended(err.Error())
		return
	}
	k.mu.Lock()
	k.run, k.fresh = run, true
	k.mu.Unlock()
	k.set(func(s *Status) {
		s.Running, s.StartedAt, s.Reason = true, time.Now(), "not yet answering its health check"
	})
	soon := time.AfterFunc(startsSoon, free)
	started := func() {
		if soon.Stop() {
			free()
		}
	}
	why := k.watch(ctx, run, started)
	started()
	k.ended(why)
}

// turn waits until the instance may start. What others wait for does not queue: a
// database, and what served before.
func (k *keeper) turn(ctx context.Context) (free func(), ok bool) {
	k.mu.Lock()
	served := k.served
	k.mu.Unlock()
	if served || k.Last {
		return func() {}, true
	}
	return k.w.turns.take(ctx)
}

// watch checks a running instance until it ends, and says why it did.
func (k *keeper) watch(ctx context.Context, run *runtime.Instance, ready func()) (why string) {
	health, cancel := context.WithCancel(ctx)
	var hung error
	var checks sync.WaitGroup
	checks.Go(func() {
		if hung = k.check(health, ready); hung != nil {
			run.Kill()
		}
	})
	select {
	case <-run.Done():
	case <-ctx.Done():
		run.Stop(context.WithoutCancel(ctx))
	}
	cancel()
	checks.Wait()
	if hung != nil {
		return "killed: " + hung.Error()
	}
	return "ended: " + run.Exit()
}

func (k *keeper) start(ctx context.Context) (*runtime.Instance, error) {
	// What is left of its last run goes first: the kernel takes its time with that.
	if err := k.w.links.Disconnect(k.Spec.Address); err != nil {
		return nil, err
	}
	return runtime.Start(ctx, k.w.Program, k.Spec, port{k.w.links, k.Spec.Address})
}

// port is the link of one instance.
type port struct {
	links   links
	address netip.Addr
}

func (p port) Connect(pid int) error { return p.links.Connect(pid, p.address) }
func (p port) Open() error           { return p.links.Open(p.address) }

func (k *keeper) ended(reason string) {
	k.mu.Lock()
	k.run = nil
	k.mu.Unlock()
	k.set(func(s *Status) {
		s.Running, s.Ready, s.Reason = false, false, reason
		s.Restarts++
	})
}

func (k *keeper) set(change func(*Status)) {
	k.mu.Lock()
	before := k.status
	change(&k.status)
	k.served = k.served || k.status.Ready
	k.fresh = k.fresh && !k.status.Ready
	differs := before.Ready != k.status.Ready || before.Running != k.status.Running
	k.mu.Unlock()
	if differs {
		k.w.refresh()
	}
}

func (k *keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// admits says whether somebody who has to be served may be let in; "" or why not.
func (k *keeper) admits() (why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fresh {
		return fmt.Sprintf("%s is not ready yet: %s", k.Spec.ID, k.status.Reason)
	}
	return ""
}

func (k *keeper) everServed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.served
}

// pid of the running program; an error when it does not run.
func (k *keeper) pid() (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run == nil {
		return 0, fmt.Errorf("%s does not run: %s", k.Spec.ID, k.status.Reason)
	}
	return k.run.Pid, nil
}

// end stops the instance for good and waits.
func (k *keeper) end() {
	k.stop()
	<-k.done
}

// restart ends what runs; keep starts it again.
func (k *keeper) restart(ctx context.Context) {
	k.mu.Lock()
	run := k.run
	k.mu.Unlock()
	if run != nil {
		run.Stop(ctx)
	}
}

func (k *keeper) removeLogs() {
	os.Remove(k.Spec.LogFile)
	os.Remove(k.Spec.LogFile + ".1")
}
