package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/api"
	"godwit/internal/api/client"
	"godwit/internal/watch"
)

const (
	// startTimeout bounds the wait for a new engine: it finishes or undoes what a
	// killed one left before it answers.
	startTimeout = 60 * time.Second
	// endTimeout bounds the wait for an engine that is told to end.
	endTimeout = 30 * time.Second
	// respawn is how often an engine is started beside one that does not answer yet.
	respawn = 250 * time.Millisecond
	// longestSocket is what the kernel takes as a unix socket's path.
	longestSocket = 100
)

// running returns a client of the engine. One that was killed is started again
// first: it finishes or undoes what was under way. client.ErrNoEngine when there
// never was one.
func (g *globals) running(ctx context.Context) (*client.Client, error) {
	if !g.hasState() {
		return nil, fmt.Errorf("%w in %s: start one with godwit up DIR, or name the directory of yours with --state", client.ErrNoEngine, g.state)
	}
	c, _, err := g.ensureEngine(ctx)
	return c, err
}

// hasState: an engine has been here, and was not told to end.
func (g *globals) hasState() bool {
	_, err := os.Stat(g.socket())
	return err == nil
}

// ensureEngine returns a client of the engine of this state directory and
// starts one if none answers. first says that there was nothing here before.
func (g *globals) ensureEngine(ctx context.Context) (c *client.Client, first bool, err error) {
	if n := len(g.socket()); n > longestSocket {
		return nil, false, api.Fail(api.Usage, "the path of the state directory is too long: %s has %d bytes, a unix socket takes %d; choose a shorter one with --state", g.socket(), n, longestSocket)
	}
	c = g.engine()
	if err := g.lives(ctx, c); !errors.Is(err, client.ErrNoEngine) && !errors.Is(err, client.ErrCutOff) {
		return c, false, err // ErrCutOff: it was killed just now
	}
	if err := os.MkdirAll(g.state, 0o711); err != nil {
		return nil, false, fmt.Errorf("state directory: %w; choose another with --state", err)
	}
	first = !g.hasState()
	if err := g.startEngine(ctx, c); err != nil {
		if first && ctx.Err() != nil {
			err = errors.Join(err, removeIfThere(g.socket())) // nothing has been here
		}
		return nil, false, err
	}
	return c, first, nil
}

// lives asks an engine whether it lives. One that was killed is started again by
// whoever watches it, and the question waits for it.
func (g *globals) lives(ctx context.Context, c *client.Client) error {
	limit, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := c.Health(limit)
	if limit.Err() != nil && ctx.Err() == nil {
		return api.Fail(api.Failed, "the engine does not answer within %v: it is started again and again, and ends, or it hangs; its log is %s: %s", startTimeout, g.engineLog(), lastLines(g.engineLog()))
	}
	return err
}

// startEngine starts an engine and waits until it answers. If another command
// was quicker, or the last engine is about to end, it waits for that.
func (g *globals) startEngine(ctx context.Context, c *client.Client) error {
	g.view.note("%s %-24s starting (state in %s)", g.view.paint(grey, "…"), "engine", g.state)
	e, err := g.spawnEngine()
	if err != nil {
		return err
	}
	again := time.NewTicker(respawn)
	defer again.Stop()
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		err := g.lives(ctx, c)
		if err == nil || !errors.Is(err, client.ErrNoEngine) || !e.hasEnded() {
			return struct{}{}, err
		}
		if e.cmd.ProcessState.ExitCode() != api.ExitOccupied {
			return struct{}{}, backoff.Permanent(fmt.Errorf("it ended at once (%v): %s", e.cmd.ProcessState, e.lastWords(g.engineLog())))
		}
		select {
		case <-again.C:
			if e, err = g.spawnEngine(); err != nil {
				return struct{}{}, backoff.Permanent(err)
			}
		default: // the other one answers soon, or is gone
		}
		return struct{}{}, client.ErrNoEngine
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)), backoff.WithMaxElapsedTime(startTimeout))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		e.end()
		return ctx.Err()
	}
	return fmt.Errorf("the engine does not answer: %w; its log is %s", err, g.engineLog())
}

func (g *globals) engineLog() string { return watch.At(g.state).EngineLog() }

// engineProcess is an engine that this command has started. It outlives it.
type engineProcess struct {
	cmd      *exec.Cmd
	ended    chan struct{}
	unlogged error // why it has no log, on a disk that takes nothing
}

// lastWords are what an engine that has ended has said.
func (e *engineProcess) lastWords(log string) string {
	if e.unlogged != nil {
		return fmt.Sprintf("its log cannot be written either: %v; mount the disk writable or free some of it, or choose another directory with --state", e.unlogged)
	}
	return lastLines(log)
}

func (g *globals) spawnEngine() (*engineProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(g.engineLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("engine log: %w; choose another directory with --state", err)
	case err != nil: // a disk that takes nothing more keeps no engine from starting
		log = watch.OpenLog(g.engineLog())
	}
	defer log.Close()
	e := &engineProcess{cmd: exec.Command(self, "engine", "--state", g.state), ended: make(chan struct{}), unlogged: err}
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.Env, e.cmd.Dir = watch.EngineEnv(os.Environ()), g.state
	detach(e.cmd)
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	go func() { // ends with this process at the latest
		defer close(e.ended)
		_ = e.cmd.Wait() // ProcessState has it
	}()
	return e, nil
}

func (e *engineProcess) hasEnded() bool {
	select {
	case <-e.ended:
		return true
	default:
		return false
	}
}

// end tells the engine to end and waits for it.
func (e *engineProcess) end() {
	if e.cmd.Process.Signal(os.Interrupt) != nil {
		return // it has ended
	}
	select {
	case <-e.ended:
	case <-time.After(endTimeout):
	}
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// lastLines are the end of a log, for an error message.
func lastLines(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-800):])
}
