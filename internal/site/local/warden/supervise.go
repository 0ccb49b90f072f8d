//go:build linux

package warden

import (
	"context"
	"fmt"
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
	changed func() // readiness or running changed
	links   links
	program string // that instances are started with

	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	status Status
	run    *runtime.Instance
}

func newKeeper(i Instance, program string, l links, changed func()) *keeper {
	return &keeper{Instance: i, program: program, links: l, changed: changed, done: make(chan struct{}),
		status: Status{ID: i.Spec.ID, Address: i.Spec.Address, Meta: i.Meta, Reason: "starting"}}
}

// keep runs the instance until ctx ends, starting it again whenever it ends.
func (k *keeper) keep(ctx context.Context) {
	defer close(k.done)
	defer k.links.Disconnect(k.Spec.Address)
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 10*time.Second
	for {
		began := time.Now()
		k.runOnce(ctx)
		if ctx.Err() != nil {
			k.set(func(s *Status) { s.Stopped = true })
			return
		}
		if time.Since(began) > steady {
			pause.Reset()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

func (k *keeper) runOnce(ctx context.Context) {
	run, err := k.start(ctx)
	if err != nil {
		k.ended(err.Error())
		return
	}
	k.mu.Lock()
	k.run = run
	k.mu.Unlock()
	k.set(func(s *Status) {
		s.Running, s.StartedAt, s.Reason = true, time.Now(), "not yet answering its health check"
	})
	health, cancel := context.WithCancel(ctx)
	var checks sync.WaitGroup
	checks.Go(func() { k.check(health) })
	select {
	case <-run.Done():
	case <-ctx.Done():
		run.Stop(context.WithoutCancel(ctx))
	}
	cancel()
	checks.Wait()
	k.ended("ended: " + run.Exit())
}

func (k *keeper) start(ctx context.Context) (*runtime.Instance, error) {
	// What is left of its last run goes first: the kernel takes its time with that.
	if err := k.links.Disconnect(k.Spec.Address); err != nil {
		return nil, err
	}
	return runtime.Start(ctx, k.program, k.Spec, func(pid int) error { return k.links.Connect(pid, k.Spec.Address) })
}

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
	differs := before.Ready != k.status.Ready || before.Running != k.status.Running
	k.mu.Unlock()
	if differs {
		k.changed()
	}
}

func (k *keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
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

func (k *keeper) removeLogs() {
	os.Remove(k.Spec.LogFile)
	os.Remove(k.Spec.LogFile + ".1")
}
