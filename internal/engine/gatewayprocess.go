package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	gatewayStart = 10 * time.Second
	gatewayEnd   = 45 * time.Second // it lets requests in flight end, for 30 s
	gatewayCheck = 500 * time.Millisecond
)

// keeper keeps one gateway process running, from the first up until down.
type keeper struct {
	mu     sync.Mutex // held while a gateway starts or ends: nobody starts what somebody ends
	listen string     // "" while no gateway is to run
}

func (k *keeper) want(listen string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listen = listen
}

// ensureGateway has a gateway serve from now on. Its process outlives the engine.
func (e *Engine) ensureGateway(ctx context.Context, listen string) error {
	e.keeper.mu.Lock()
	defer e.keeper.mu.Unlock()
	if e.gateway.Healthy(ctx) != nil {
		if err := e.startGateway(ctx, listen); err != nil {
			return err
		}
	}
	e.keeper.listen = listen
	return nil
}

// startGateway starts the gateway's process and waits until it answers.
func (e *Engine) startGateway(ctx context.Context, listen string) error {
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
	go func() { ended <- cmd.Wait() }() // reaps it; the only goroutine that may end with the engine's process
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
	every(ctx, gatewayCheck, func() {
		if err := e.reviveGateway(ctx); err != nil && ctx.Err() == nil {
			e.log.Error("gateway", "error", err)
		}
	})
}

func (e *Engine) reviveGateway(ctx context.Context) error {
	e.keeper.mu.Lock()
	defer e.keeper.mu.Unlock()
	if e.keeper.listen == "" || e.gatewayAlive(ctx) {
		return nil
	}
	e.log.Warn("the gateway is gone; starting it again")
	return e.startGateway(ctx, e.keeper.listen)
}

// stopGateway ends the gateway's process and waits until it is gone.
func (e *Engine) stopGateway(ctx context.Context) error {
	e.keeper.mu.Lock()
	defer e.keeper.mu.Unlock()
	e.keeper.listen = ""
	if e.gateway.Healthy(ctx) != nil {
		return nil
	}
	// One that ends fast may be gone before it has answered.
	if err := e.gateway.Shutdown(ctx); err != nil && e.gateway.Healthy(ctx) == nil {
		return err
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if e.gateway.Healthy(ctx) == nil {
			return struct{}{}, errors.New("the gateway still answers")
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)), backoff.WithMaxElapsedTime(gatewayEnd))
	return err
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
