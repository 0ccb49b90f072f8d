package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	gatewayStart = 10 * time.Second
	gatewayCheck = 500 * time.Millisecond
)

// ensureGateway starts the gateway's process unless it answers. The process
// outlives the engine.
func (e *Engine) ensureGateway(ctx context.Context, listen string) error {
	if e.gateway.Healthy(ctx) == nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(e.dir, "gateway.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("gateway log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(self, "gateway", "--listen", listen,
		"--admin", filepath.Join(e.dir, "gateway.sock"), "--state", filepath.Join(e.dir, "gateway.json"))
	cmd.Dir = e.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // reaps it; ends with the engine at the latest
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		select {
		case err := <-ended:
			return struct{}{}, backoff.Permanent(fmt.Errorf("it ended at once (%v)", err))
		default:
			return struct{}{}, e.gateway.Healthy(ctx)
		}
	}, backoff.WithBackOff(backoff.NewConstantBackOff(10*time.Millisecond)), backoff.WithMaxElapsedTime(gatewayStart))
	if err != nil {
		return fmt.Errorf("the gateway does not come up on %s: %w; is the address taken? choose another with --listen; its log is %s", listen, err, log.Name())
	}
	return nil
}

// keepGateway starts the gateway again when it is gone, until ctx ends. It
// starts from its last good table, so nothing else has to be done.
func (e *Engine) keepGateway(ctx context.Context) {
	tick := time.NewTicker(gatewayCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w, err := e.current()
		if err != nil || e.ending.Load() || e.gatewayAlive(ctx) || e.ending.Load() {
			continue // down ends the gateway itself, perhaps while it was being asked
		}
		e.log.Warn("the gateway is gone; starting it again")
		if err := e.ensureGateway(ctx, w.settings.Listen); err != nil && ctx.Err() == nil {
			e.log.Error("gateway", "error", err)
		}
	}
}

// gatewayAlive asks twice, so that one slow answer starts nothing.
func (e *Engine) gatewayAlive(ctx context.Context) bool {
	for range 2 {
		limit, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := e.gateway.Healthy(limit)
		cancel()
		if err == nil {
			return true
		}
		var op *net.OpError
		if !errors.As(err, &op) && ctx.Err() == nil {
			continue
		}
	}
	return ctx.Err() != nil
}
