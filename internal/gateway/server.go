package gateway

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/lockfile"
	"godwit/internal/sockets"
)

// Config of a gateway. Listen, Admin and State are needed; zero means the default elsewhere.
type Config struct {
	Listen string // host:port for clients
	Admin  string // unix socket of the admin API, made with mode 0600
	State  string // file of the last good table
	Log    *slog.Logger

	Base     string       // directory that the process stands in: what lies below it is found from there
	Handover string       // unix socket for another gateway that takes over (beside Admin)
	Sockets  *sockets.Set // given by whoever starts and watches this gateway: those for clients and of the admin API; nil or empty opens them
	Lock     *os.File     // and the lock of the gateway's role, held already; nil when nobody watches

	Forward Forwarder      // default: own pooled HTTP/1.1
	Dial    DialFunc       // how the default Forwarder connects; default: directly, or through the endpoint's door
	Roots   *x509.CertPool // authorities whose certificates the default Forwarder trusts; default: the system's

	MaxConnections    int           // of clients (half of the descriptors that are left beside a reserve)
	MaxPerAddress     int           // of those, from one address: many people may share one (half of them)
	Silence           time.Duration // of an answer that has begun, after which a client that has finished sending is taken for gone (10 s)
	MaxHeld           int           // requests on hold, all holds together (20,000)
	MaxWaiting        int           // requests that wait for an endpoint that can be reached, all pools together (5,000)
	MaxKept           int64         // bytes of requests' bodies kept in memory, to be sent again; further bodies are streamed once (256 MiB)
	MaxHeader         int           // bytes of a request's head (64 KiB)
	ReadHeaderTimeout time.Duration // for a request's head (10 s)
	BodyIdleTimeout   time.Duration // without a byte of a request's body (30 s)
	WriteIdleTimeout  time.Duration // without a client taking a byte of a response (60 s)
	MinRate           int64         // bytes per second that a client sends or takes while we wait for it (500)
	RateLead          time.Duration // that a client may fall behind that rate (30 s)
	KeepAlive         time.Duration // of idle client connections (75 s)
	DialTimeout       time.Duration // for connecting to an endpoint, with the TLS handshake (3 s)
	ResponseTimeout   time.Duration // from request sent to head of the response (60 s)
	ShieldTimeout     time.Duration // the same, of a new release an older one stands in for (5 s)
	EndpointWait      time.Duration // how long a request waits for a pool of which no endpoint can be reached (15 s)
	HoldGrace         time.Duration // for requests when a hold is drained, before they are taken back or ended (250 ms)
	IdleGrace         time.Duration // the same when a release is drained (10 s)
	DrainTimeout      time.Duration // for requests in flight at shutdown (30 s)
	FarewellTime      time.Duration // after a hand-over: for keep-alive clients to be told to reconnect (2 s)
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = dialFrom(c.Base)
	}
	c.MaxConnections = orDefault(c.MaxConnections, mostConnections())
	c.MaxPerAddress = orDefault(c.MaxPerAddress, max(1, c.MaxConnections/2))
	c.Silence = orDefault(c.Silence, silence)
	c.MaxHeld = orDefault(c.MaxHeld, 20_000)
	c.MaxWaiting = orDefault(c.MaxWaiting, 5_000)
	c.MaxKept = orDefault(c.MaxKept, 256<<20)
	c.MaxHeader = orDefault(c.MaxHeader, 64<<10)
	c.ReadHeaderTimeout = orDefault(c.ReadHeaderTimeout, 10*time.Second)
	c.BodyIdleTimeout = orDefault(c.BodyIdleTimeout, 30*time.Second)
	c.WriteIdleTimeout = orDefault(c.WriteIdleTimeout, time.Minute)
	c.MinRate = orDefault(c.MinRate, 500)
	c.RateLead = orDefault(c.RateLead, 30*time.Second)
	c.KeepAlive = orDefault(c.KeepAlive, 75*time.Second)
	c.DialTimeout = orDefault(c.DialTimeout, 3*time.Second)
	c.ResponseTimeout = orDefault(c.ResponseTimeout, time.Minute)
	c.ShieldTimeout = orDefault(c.ShieldTimeout, 5*time.Second)
	c.EndpointWait = orDefault(c.EndpointWait, 15*time.Second)
	c.HoldGrace = orDefault(c.HoldGrace, 250*time.Millisecond)
	c.IdleGrace = orDefault(c.IdleGrace, 10*time.Second)
	c.DrainTimeout = orDefault(c.DrainTimeout, 30*time.Second)
	c.FarewellTime = orDefault(c.FarewellTime, 2*time.Second)
	if c.Forward == nil {
		c.Forward = newHTTP1(c)
	}
	return c
}

// bodyPace and readPace are what clients must keep to.
func (c Config) bodyPace() pace { return pace{c.BodyIdleTimeout, c.RateLead, c.MinRate} }
func (c Config) readPace() pace { return pace{c.WriteIdleTimeout, c.RateLead, c.MinRate} }

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// Server is a gateway.
type Server struct {
	cfg      Config
	control  *control
	proxy    *proxy
	listener net.Listener
	admin    *net.UnixListener
	handover *net.UnixListener
	nursery  string   // directory of sockets that are not in place yet
	heir     *heir    // of a gateway that ran before; nil without one
	turn     *turn    // until the sockets are in place; nil when there is none to wait for
	given    bool     // the sockets are others', who keep them for the next gateway
	lock     *os.File // of the gateway's role, for life; nil when nobody watches

	entrance        *entrance
	public, private *http.Server
	conns           atomic.Int64 // client connections
	stop            chan struct{}
	stopOnce        sync.Once
	onReady         func() // called once, when clients and the engine are served
}

// New loads the last table and opens the sockets. If a gateway already runs
// with the same admin socket, New takes its listener and its table; it waits for
// one that is just taking over, up to handoverPatience. Run must be
// called next; without it, the other goes on, and no third can take its place.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, stop: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), handoverPatience)
	defer cancel()
	if err := s.succeed(ctx); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		s.closeSockets()
		return nil, err
	}
	return s, nil
}

// succeed makes this the one gateway: by the lock that it was given, or after the
// gateway that ran before.
func (s *Server) succeed(ctx context.Context) (err error) {
	if s.cfg.Lock != nil {
		s.lock = s.cfg.Lock
		return lockfile.Own(s.lock)
	}
	if s.turn, err = takeTurn(ctx, s.cfg.Admin); err != nil {
		return err
	}
	if s.heir, err = takeOver(ctx, s.cfg.handoverSocket()); err != nil {
		s.turn.end()
		return err
	}
	if s.heir != nil && s.heir.lock != nil {
		s.lock = s.heir.lock
		return lockfile.Own(s.lock)
	}
	return nil
}

func (s *Server) open() error {
	table, err := s.listenAndLoad()
	if err != nil {
		return err
	}
	if err := s.listenForOthers(); err != nil {
		return err
	}
	if s.cfg.Sockets != nil {
		s.cfg.Sockets.Close() // what is served is open; when that ends, so does it
	}
	s.control = newControl(table, s.cfg)
	s.control.resumeHolds()
	if s.heir != nil {
		s.control.predecessor = make(chan struct{})
		s.control.inherit(s.heir.Traffic)
	}
	s.proxy = &proxy{control: s.control, forward: s.cfg.Forward, cfg: s.cfg, kept: room{size: s.cfg.MaxKept}}
	s.entrance = newEntrance(s.listener, s.cfg)
	s.control.counts.entrance = s.entrance
	s.public = s.publicServer()
	s.private = &http.Server{
		Handler:           (&admin{control: s.control, cfg: s.cfg, shutdown: s.Shutdown}).handler(),
		ReadHeaderTimeout: s.cfg.ReadHeaderTimeout,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
	return nil
}

// listenForOthers opens the sockets of the engine and of the next gateway, as far
// as they were not given. One whose clients' socket was given serves them even
// where no file can be made.
func (s *Server) listenForOthers() (err error) {
	if s.cfg.Sockets != nil {
		s.admin, err = adminOf(s.cfg.Sockets)
	}
	if s.heir != nil && s.heir.admin != nil {
		s.admin, s.heir.admin = s.heir.admin, nil
	}
	if err != nil {
		return err
	}
	s.given = s.admin != nil && s.lock != nil
	err = s.listenInNursery()
	if err != nil && s.lock != nil {
		s.cfg.Log.Error("this gateway serves clients, but neither the engine nor another gateway reach it as they should", "engine", s.given, "error", err)
		return nil
	}
	return err
}

func (s *Server) listenInNursery() (err error) {
	place := s.cfg.Admin
	if s.given {
		place = s.cfg.handoverSocket()
	}
	if s.nursery, err = os.MkdirTemp(filepath.Dir(place), ".gw"); err != nil {
		return fmt.Errorf("listen for the engine: %w", err)
	}
	if s.admin == nil {
		if s.admin, err = s.listenUnix("a"); err != nil {
			return err
		}
	}
	s.handover, err = s.listenUnix("h")
	return err
}

func (s *Server) listenAndLoad() (Table, error) {
	if s.heir != nil {
		if want := s.cfg.Listen; want != s.heir.Listen && !anyPort(want) {
			return Table{}, fmt.Errorf("a gateway with admin socket %s already listens on %s, not on %s; shut it down first", s.cfg.Admin, s.heir.Listen, want)
		}
		s.listener = s.heir.listener
		return s.heir.Table, nil
	}
	table, err := (stateFile{s.cfg.State}).load(s.cfg.Log)
	if err != nil {
		return Table{}, err
	}
	if s.cfg.Sockets != nil {
		if s.listener, err = s.cfg.Sockets.Listener(sockets.Clients); err != nil || s.listener != nil {
			return table, err
		}
	}
	if s.listener, err = net.Listen("tcp", s.cfg.Listen); err != nil {
		return Table{}, fmt.Errorf("listen for clients: %w", err)
	}
	return table, nil
}

func anyPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "0"
}

func (s *Server) publicServer() *http.Server {
	return &http.Server{
		Handler:           s.proxy,
		MaxHeaderBytes:    s.cfg.MaxHeader + 4<<10, // the entrance is stricter
		ReadHeaderTimeout: s.cfg.ReadHeaderTimeout,
		IdleTimeout:       s.cfg.KeepAlive,
		// For what net/http writes by itself; proxy and reply set the deadline
		// anew before anything else is written.
		WriteTimeout:                 s.cfg.WriteIdleTimeout,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the instance's to answer
		ErrorLog:                     slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.conns.Add(1)
			case http.StateHijacked, http.StateClosed:
				s.conns.Add(-1)
			}
		},
	}
}

// listenUnix listens in a directory that nobody else may enter; settle moves the
// socket from there to its place, over whatever a dead or superseded gateway left.
func (s *Server) listenUnix(name string) (*net.UnixListener, error) {
	path := filepath.Join(s.nursery, name)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for the engine: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

func (s *Server) settle() error {
	for name, path := range s.places() {
		if err := os.Rename(filepath.Join(s.nursery, name), path); err != nil {
			if s.given { // it serves clients and the engine as it should
				s.cfg.Log.Error("another gateway cannot take over from this one", "error", err)
				continue
			}
			return fmt.Errorf("put the admin socket in place: %w", err)
		}
	}
	s.turn.end()
	if s.nursery == "" {
		return nil
	}
	return os.RemoveAll(s.nursery)
}

// places is where the sockets that were made here belong, by their name in the nursery.
func (s *Server) places() map[string]string {
	places := map[string]string{}
	if s.admin != nil && !s.given {
		places["a"] = s.cfg.Admin
	}
	if s.handover != nil {
		places["h"] = s.cfg.handoverSocket()
	}
	return places
}

// Addr is where clients are served, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Shutdown makes Run end gracefully. It does not wait.
func (s *Server) Shutdown() { s.stopOnce.Do(func() { close(s.stop) }) }

func (s *Server) closeSockets() {
	s.turn.end()
	if s.heir != nil {
		s.heir.close()
	}
	if s.listener != nil {
		s.listener.Close()
	}
	for _, ln := range []*net.UnixListener{s.admin, s.handover} {
		if ln != nil {
			ln.Close()
		}
	}
	if s.nursery != "" {
		_ = os.RemoveAll(s.nursery) // gone already if the sockets are in place
	}
}
