// Package relay is the one opening in an environment's isolation that a
// migration needs: what a VPN is on AWS. A relay copies bytes between a source's
// Postgres, which the host reaches, and the environment's Postgres, which only
// the environment's door reaches, both ways, for nobody else. It runs as a
// process of its own for the life of the migration and survives the engine.
//
// It guarantees that a half-closed connection stays half open, that the number
// of connections is bounded, each way for itself, that nobody but the source's
// side gets one of those on the host, and that nothing of it is left after Run
// returned.
// Only cmd starts it and only the local site configures it.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/door"
)

// Config of a relay, as its process reads it from standard input.
type Config struct {
	Door         string `json:"door"`                // unix socket of the environment's door
	ListenInside string `json:"listen_inside"`       // address inside at which the environment finds the source
	Source       string `json:"source"`              // host:port of the source's Postgres, dialled from the host
	ListenHost   string `json:"listen_host"`         // address on the host at which the source finds the environment
	Target       string `json:"target"`              // address inside of the environment's Postgres
	ID           int    `json:"id,omitempty"`        // its own uid and gid, when root starts it
	MaxConns     int    `json:"max_conns,omitempty"` // each way; default 64
}

func (c Config) validate() error {
	if c.Door == "" {
		return errors.New("door is missing: the unix socket of the environment")
	}
	for name, address := range map[string]string{
		"listen_inside": c.ListenInside, "source": c.Source, "listen_host": c.ListenHost, "target": c.Target,
	} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("%s %q is not host:port", name, address)
		}
	}
	if c.ID < 0 {
		return fmt.Errorf("id %d is negative", c.ID)
	}
	if c.MaxConns < 0 || c.MaxConns > 10_000 {
		return fmt.Errorf("max_conns %d is not between 1 and 10000", c.MaxConns)
	}
	return nil
}

// How the relay behaves in time.
const (
	dialTimeout = 5 * time.Second
	keepAlive   = 15 * time.Second
	firstByte   = 10 * time.Second       // how long who connected may say nothing
	doorCheck   = 500 * time.Millisecond // how often the door is looked at
)

// Relay is a running relay.
type Relay struct {
	cfg   Config
	log   *slog.Logger
	host  net.Listener
	ready chan struct{}
	once  sync.Once
	conns sync.WaitGroup
	peers peers

	inward, outward direction
	life            atomic.Pointer[context.Context] // ends with the environment behind the door

	refusals atomic.Int64
}

// direction is one of the two ways. Neither can take the other's connections.
type direction struct {
	slots chan struct{}
	admit func(net.Conn) error // nil: the environment's rules have decided that already
	dial  dialFunc
}

// New opens the listener on the host; Run does the rest and closes it.
func New(cfg Config, log *slog.Logger) (*Relay, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	host, err := listenHost(cfg.ListenHost)
	if err != nil {
		return nil, fmt.Errorf("relay: listen on the host: %w", err)
	}
	return onto(host, cfg, log), nil
}

// onto is New with a listener that is open, and a configuration that is valid.
func onto(host net.Listener, cfg Config, log *slog.Logger) *Relay {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 64
	}
	r := &Relay{cfg: cfg, log: log, host: host, ready: make(chan struct{}), peers: peers{source: cfg.Source}}
	r.inward = direction{slots: make(chan struct{}, cfg.MaxConns), admit: r.peers.admit, dial: r.dialTarget}
	r.outward = direction{slots: make(chan struct{}, cfg.MaxConns), dial: r.dialSource}
	return r
}

// portPatience is how long the port of a relay that died is waited for: meanwhile
// the system may have given it to somebody's outgoing connection.
const portPatience = 5 * time.Second

// listenHost takes another port when somebody keeps the one that it had.
func listenHost(address string) (net.Listener, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 10*time.Millisecond, 200*time.Millisecond
	ln, err := backoff.Retry(context.Background(), func() (net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			err = backoff.Permanent(err)
		}
		return l, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(portPatience))
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	host, _, _ := net.SplitHostPort(address)
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

// HostAddr is where the source's database finds the environment's, host:port.
func (r *Relay) HostAddr() string { return r.host.Addr().String() }

// Ready is closed once both listeners are open for the first time.
func (r *Relay) Ready() <-chan struct{} { return r.ready }

// Run relays until ctx ends; then every connection is closed. While the door is
// lost (its environment ended or is restarting) it tries to listen again.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer r.conns.Wait()
	defer cancel()
	var outward sync.WaitGroup
	defer outward.Wait()
	defer r.host.Close()
	r.life.Store(&ctx)
	outward.Go(func() { r.accept(ctx, r.host, r.inward) })
	for ctx.Err() == nil {
		inside, err := r.listenInside(ctx)
		if err != nil {
			break // only when ctx has ended
		}
		r.once.Do(func() { close(r.ready) })
		r.serveInside(ctx, inside)
	}
	return nil
}

// passed is a listener inside, with the door that it came through.
type passed struct {
	net.Listener
	door os.FileInfo
}

func (r *Relay) listenInside(ctx context.Context) (passed, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 20*time.Millisecond, time.Second
	return backoff.Retry(ctx, func() (passed, error) {
		// Looked at before: if the environment is replaced in between, the listener
		// is a new one's and the door an old one's, and so it is made once more.
		seen, err := os.Stat(r.cfg.Door)
		if err != nil {
			return passed{}, err
		}
		ln, err := door.Listen(ctx, r.cfg.Door, r.cfg.ListenInside)
		return passed{ln, seen}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, next time.Duration) {
		r.log.Warn("cannot listen inside; trying again", "in", next, "error", err)
	}))
}

// serveInside serves one listener until ctx ends or the door is lost, and ends
// every connection with it, both ways. A socket keeps the network it was made in
// alive: those of a dead environment must not be kept.
func (r *Relay) serveInside(ctx context.Context, ln passed) {
	ctx, cancel := context.WithCancel(ctx)
	r.life.Store(&ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		defer cancel()
		r.watchDoor(ctx, ln.door)
	})
	r.accept(ctx, ln, r.outward)
	cancel()
	tasks.Wait()
}

// watchDoor returns when the door does not answer any more, is another one than
// was seen, or ctx ends. An environment that is back before anybody looks has a
// door that answers, and a network in which nobody listens for this relay.
func (r *Relay) watchDoor(ctx context.Context, seen os.FileInfo) {
	tick := time.NewTicker(doorCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.lookAtDoor(ctx, seen); err != nil {
			if ctx.Err() == nil {
				r.log.Warn("the door is lost; its environment has ended or restarts", "door", r.cfg.Door, "error", err)
			}
			return
		}
	}
}

func (r *Relay) lookAtDoor(ctx context.Context, seen os.FileInfo) error {
	now, err := os.Stat(r.cfg.Door)
	if err != nil {
		return err
	}
	if !os.SameFile(now, seen) || !now.ModTime().Equal(seen.ModTime()) {
		return errors.New("it is another environment's")
	}
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "unix", r.cfg.Door)
	if err != nil {
		return err
	}
	return conn.Close()
}

type dialFunc func(context.Context) (net.Conn, error)

func (r *Relay) dialSource(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{KeepAlive: keepAlive}
	return d.DialContext(ctx, "tcp", r.cfg.Source)
}

func (r *Relay) dialTarget(ctx context.Context) (net.Conn, error) {
	return door.Dial(ctx, r.cfg.Door, "tcp", r.cfg.Target)
}

// accept joins each connection that is admitted with one that is dialled, so
// many at a time as there are slots; more wait in the listener's queue. It returns
// when ctx ends, with the listener closed; the connections it accepted end with
// the environment's life.
func (r *Relay) accept(ctx context.Context, ln net.Listener, way direction) {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			r.log.Warn("accept failed", "listener", ln.Addr(), "error", err)
			if !pause(ctx, 50*time.Millisecond) { // out of descriptors, most likely
				return
			}
			continue
		}
		if way.admit != nil {
			if err := way.admit(conn); err != nil {
				conn.Close()
				r.refused(err)
				continue
			}
		}
		select {
		case way.slots <- struct{}{}:
		case <-ctx.Done():
			conn.Close()
			return
		}
		r.conns.Go(func() {
			defer func() { <-way.slots }()
			r.join(*r.life.Load(), conn, way.dial)
		})
	}
}

// refused says so, the first time and then now and then: whoever is refused can
// come back as often as he likes.
func (r *Relay) refused(why error) {
	if n := r.refusals.Add(1); n&(n-1) == 0 {
		r.log.Warn("a connection that is not the source's was refused", "error", why, "refused", n)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
