package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/api/client"
)

// startTimeout bounds the wait for a new engine: it finishes or undoes what a
// killed one left before it answers.
const startTimeout = 60 * time.Second

// ensureEngine returns a client of the engine of this state directory and
// starts one if none answers. started says so.
func (g *globals) ensureEngine(ctx context.Context) (c *client.Client, started bool, err error) {
	c = g.engine()
	if _, err := c.Status(ctx); !errors.Is(err, client.ErrNoEngine) {
		return c, false, err
	}
	if err := os.MkdirAll(g.state, 0o711); err != nil {
		return nil, false, fmt.Errorf("state directory: %w; choose another with --state DIR", err)
	}
	g.view.note("%s %-24s starting (state in %s)", g.view.paint(grey, "…"), "engine", g.state)
	ended, err := g.spawnEngine()
	if err != nil {
		return nil, false, err
	}
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		select {
		case err := <-ended:
			return struct{}{}, backoff.Permanent(fmt.Errorf("the engine ended at once (%v): %s", err, lastLines(g.engineLog())))
		default:
		}
		_, err := c.Status(ctx)
		return struct{}{}, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)), backoff.WithMaxElapsedTime(startTimeout))
	if err != nil {
		return nil, false, fmt.Errorf("the engine does not answer: %w; its log is %s", err, g.engineLog())
	}
	return c, true, nil
}

// running returns a client of the engine. One that was killed is started again
// first: it finishes or undoes what was under way. client.ErrNoEngine when there
// never was one.
func (g *globals) running(ctx context.Context) (*client.Client, error) {
	if !g.hasState() {
		return nil, fmt.Errorf("%w in %s: godwit up starts one", client.ErrNoEngine, g.state)
	}
	c, _, err := g.ensureEngine(ctx)
	return c, err
}

// hasState: an engine has been here, and was not told to end.
func (g *globals) hasState() bool {
	_, err := os.Stat(filepath.Join(g.state, "engine.sock"))
	return err == nil
}

func (g *globals) engineLog() string { return filepath.Join(g.state, "engine.log") }

// spawnEngine starts the engine as a process that outlives this one.
func (g *globals) spawnEngine() (ended <-chan error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(g.engineLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("engine log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(self, "engine", "--state", g.state)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = g.state
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }() // ends with this process at the latest
	return done, nil
}

// lastLines are the end of a log, for an error message.
func lastLines(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-800):])
}
