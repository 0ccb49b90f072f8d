package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Run serves until ctx ends, Shutdown is called, or another gateway takes over;
// then it accepts nothing more, finishes what is in flight within DrainTimeout,
// and returns. It returns an error only when it could not serve.
func (s *Server) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer s.closeSockets()
	failed := make(chan error, 2)
	serve := func(name string, srv *http.Server, ln net.Listener) {
		tasks.Go(func() {
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				failed <- fmt.Errorf("serve %s: %w", name, err)
			}
		})
	}
	serve("clients", s.public, s.entrance)
	if s.admin != nil {
		serve("the engine", s.private, s.admin)
	}
	if err := s.announce(&tasks); err != nil {
		s.halt(0)
		return err
	}
	succeeded := make(chan *net.UnixConn, 1)
	if s.handover != nil {
		tasks.Go(func() { succeeded <- s.serveHandover() })
	}
	if s.onReady != nil {
		s.onReady()
	}
	s.cfg.Log.Info("gateway serves", "listen", s.Addr(), "admin", s.cfg.Admin, "version", s.control.view.Load().version)

	var err error
	var heir *net.UnixConn
	select {
	case <-ctx.Done():
	case <-s.stop:
	case err = <-failed:
	case heir = <-succeeded:
	}
	s.end(heir)
	return err
}

// announce takes the place of the gateway that ran before, if any, and puts the
// admin socket in place.
func (s *Server) announce(tasks *sync.WaitGroup) error {
	if s.heir == nil {
		return s.settle()
	}
	if err := s.heir.ready(); err != nil {
		return err
	}
	tasks.Go(func() {
		s.heir.gone()
		close(s.control.predecessor)
		s.cfg.Log.Info("the gateway that ran before has finished")
	})
	if err := s.control.state.save(s.heir.Table); err != nil { // ours may be another file
		return err
	}
	return s.settle()
}

// end finishes. After a hand-over the clients' connections first get a while to
// be told, with their next response, to reconnect: closing an idle connection
// under a client that is about to use it would fail its request.
func (s *Server) end(heir *net.UnixConn) {
	s.listener.Close()
	if s.handover != nil {
		s.handover.Close()
	}
	if heir == nil {
		s.control.stop()
		s.halt(s.cfg.DrainTimeout)
		for _, path := range s.places() {
			_ = os.Remove(path)
		}
		s.cfg.Log.Info("gateway ends")
		return
	}
	if s.given {
		s.admin.Close() // the other listens at the same
	}
	s.cfg.Log.Info("another gateway has taken over; finishing what is in flight", "connections", s.conns.Load())
	s.proxy.leaving.Store(true)
	s.farewell()
	s.halt(s.cfg.DrainTimeout)
	s.control.stop()
	heir.Close() // tells the other that nothing is in flight here any more
}

func (s *Server) farewell() {
	deadline := time.After(s.cfg.FarewellTime)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.conns.Load() > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			return
		}
	}
}

// halt ends both servers: gracefully within the given time, then by force.
func (s *Server) halt(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	defer s.control.endTunnels(min(s.cfg.IdleGrace, within))()
	if err := s.public.Shutdown(ctx); err != nil {
		s.cfg.Log.Warn("requests in flight were cut off", "connections", s.conns.Load(), "error", err)
		s.entrance.hurries.Store(true)
		s.public.Close()
	}
	s.control.closeTunnels(time.Second)
	s.cfg.Forward.Close()
	s.private.Close() // long polls have nothing left to wait for
}
