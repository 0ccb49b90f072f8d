package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/sockets"
	"godwit/internal/watch"
)

const (
	gatewayStart = 10 * time.Second
	gatewayEnd   = 45 * time.Second // it lets requests in flight end, for 30 s
	gatewayCheck = 500 * time.Millisecond
)

// keeper knows where a gateway is to run, from the first up until down.
type keeper struct {
	mu     sync.Mutex // held while a gateway starts or ends: nobody starts what somebody ends
	listen string     // "" while no gateway is to run
}

func (k *keeper) want(listen string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listen = listen
}

// ensureGateway has a gateway serve from now on. Its process and its sockets
// outlive the engine.
func (e *Engine) ensureGateway(ctx context.Context, listen string) error {
	e.keeper.mu.Lock()
	defer e.keeper.mu.Unlock()
	if e.gateway.Healthy(ctx) != nil {
		if err := e.openGateway(ctx, listen); err != nil {
			return err
		}
		if err := e.startGateway(ctx); err != nil {
			return err
		}
	}
	e.keeper.listen = listen
	return nil
}

// openGateway opens the gateway's sockets, unless they are kept, and has the
// watchdogs keep them too. From then on a gateway is wanted.
func (e *Engine) openGateway(ctx context.Context, listen string) error {
	kept := e.watch.Sockets
	if kept.Has(sockets.Clients) && kept.Address(sockets.Clients) != listen && !e.watch.Running(watch.Gateway) {
		kept.Drop(sockets.Clients) // of another address, where no gateway came up
	}
	if !kept.Has(sockets.Admin) {
		if err := e.watch.Listen("unix", sockets.Admin, e.watch.AdminSocket()); err != nil {
			e.log.Error("the gateway's own socket cannot be made; clients are served without", "error", err)
		}
	}
	if !kept.Has(sockets.Clients) {
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			return fmt.Errorf("the gateway cannot listen on %s: %w; is the address taken? choose another with --listen", listen, err)
		}
		defer ln.Close()
		if err := kept.Keep(sockets.Clients, ln.(syscall.Conn)); err != nil {
			return err
		}
	}
	e.watch.Share(ctx)
	return nil
}

// startGateway starts the gateway's process, unless somebody has, and waits until
// it answers.
func (e *Engine) startGateway(ctx context.Context) error {
	started, err := e.watch.Start(watch.Gateway)
	if err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		if started != nil {
			if state := started.Ended(); state != nil {
				return struct{}{}, backoff.Permanent(fmt.Errorf("it ended at once (%v)", state))
			}
		}
		return struct{}{}, e.gateway.Healthy(ctx)
	}, backoff.WithBackOff(backoff.NewConstantBackOff(10*time.Millisecond)), backoff.WithMaxElapsedTime(gatewayStart))
	if err != nil {
		return fmt.Errorf("the gateway does not come up: %w; its log is %s", err, e.watch.GatewayLog())
	}
	return nil
}

// keepGateway keeps the gateway running until ctx ends; it starts from its last
// good table, so nothing else has to be done. Where its address was taken, it
// waits for that to become free.
func (e *Engine) keepGateway(ctx context.Context) {
	var keeping sync.WaitGroup
	keeping.Go(func() { e.watch.Keep(ctx, watch.Gateway) })
	defer keeping.Wait()
	every(ctx, gatewayCheck, func() {
		if err := e.reopenGateway(ctx); err != nil && ctx.Err() == nil {
			e.log.Error("gateway", "error", err)
		}
	})
}

func (e *Engine) reopenGateway(ctx context.Context) error {
	e.keeper.mu.Lock()
	defer e.keeper.mu.Unlock()
	if e.keeper.listen == "" || e.watch.Sockets.Has(sockets.Clients) || e.gateway.Healthy(ctx) == nil {
		return nil
	}
	return e.openGateway(ctx, e.keeper.listen)
}

// stopGateway ends the gateway's process and waits until it is gone. First it is
// not wanted any more, which the watchdogs learn too.
func (e *Engine) stopGateway(ctx context.Context) error {
	e.keeper.mu.Lock()
	defer e.keeper.mu.Unlock()
	e.keeper.listen = ""
	e.watch.Sockets.Drop(sockets.Clients, sockets.Admin)
	if err := e.watch.Agree(ctx); err != nil {
		return err
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		answers := e.gateway.Healthy(ctx) == nil
		if !answers && !e.watch.Running(watch.Gateway) {
			return struct{}{}, nil
		}
		if answers {
			_ = e.gateway.Shutdown(ctx) // one that ends fast may be gone before it has answered
		}
		return struct{}{}, errors.New("the gateway still runs")
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)), backoff.WithMaxElapsedTime(gatewayEnd))
	if err != nil && ctx.Err() == nil {
		e.log.Warn("the gateway does not end; it is killed", "error", err)
		if err = e.watch.Signal(watch.Gateway, syscall.SIGKILL); err == nil {
			err = e.watch.Gone(ctx, watch.Gateway)
		}
	}
	if err != nil {
		return err
	}
	return errors.Join(removeFile(e.watch.AdminSocket()), os.RemoveAll(e.watch.GatewayDir()))
}
