package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
)

const (
	// fastStop bounds a fast shutdown, killStop each harder one after it.
	fastStop = 10 * time.Second
	killStop = 5 * time.Second
	// pingEvery is how often a starting server is asked, pingWait how long it may take to answer.
	pingEvery = 10 * time.Millisecond
	pingWait  = 2 * time.Second
	// startPatience bounds starting again after what passes: a free port that was
	// snatched away, processes of a killed server that are not gone yet.
	startPatience = 10 * time.Second
)

// errLeftOver: the sessions of a killed server still have its memory. They notice
// soon that it is gone, and end.
var errLeftOver = errors.New("processes of the last server are still ending")

// ServerOptions of a server on the host itself.
type ServerOptions struct {
	Dir           string            // holds data/ and the log; a later Start finds the data again
	Template      string            // "" means TemplateDir
	Port          int               // 0: a free one
	ListenAddress string            // "" means 127.0.0.1
	AdminUser     string            // "" means "godwit"
	AdminPassword string            // required
	UID, GID      int               // as in Settings
	Config        map[string]string // as in Settings; used when data/ is made
	LogFile       string            // "" means Dir/postgres.log; appended to
	NoSync        bool              // as in Settings
}

// Server is a running Postgres. It ends, at once and without losing what was
// committed, when the process that started it ends.
type Server struct {
	Port int
	Pid  int

	address        string
	user, password string
	ended          chan struct{} // closed when the process is gone
	err            error         // how it ended; read after ended
}

// Start prepares o.Dir where needed, starts a server, and waits until it
// answers or ctx ends. Root drops to an unprivileged id, which must be able to
// enter Dir: else ErrUnreachable.
func Start(ctx context.Context, inst Installation, o ServerOptions) (*Server, error) {
	if err := o.prepare(ctx, inst); err != nil {
		return nil, fmt.Errorf("start Postgres in %s: %w", o.Dir, err)
	}
	s, err := backoff.Retry(ctx, func() (*Server, error) {
		s, err := o.start(ctx, inst)
		passes := errors.Is(err, errLeftOver) || o.Port == 0 && errors.Is(err, syscall.EADDRINUSE)
		if err != nil && !passes {
			err = backoff.Permanent(err)
		}
		return s, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(pingEvery)), backoff.WithMaxElapsedTime(startPatience))
	if err != nil {
		return nil, fmt.Errorf("start Postgres in %s: %w", o.Dir, err)
	}
	return s, nil
}

// prepare fills in what was left open and makes the data directory.
func (o *ServerOptions) prepare(ctx context.Context, inst Installation) (err error) {
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	if o.ListenAddress == "" {
		o.ListenAddress = "127.0.0.1"
	}
	if o.AdminUser == "" {
		o.AdminUser = bootstrapUser
	}
	if o.LogFile == "" {
		o.LogFile = filepath.Join(o.Dir, "postgres.log")
	}
	if o.Template == "" {
		if o.Template, err = TemplateDir(inst); err != nil {
			return err
		}
	}
	if err := EnsureTemplate(ctx, inst, o.Template); err != nil {
		return err
	}
	return Prepare(ctx, inst, o.Template, filepath.Join(o.Dir, "data"), Settings{
		AdminUser: o.AdminUser, AdminPassword: o.AdminPassword,
		UID: o.UID, GID: o.GID, Config: o.Config, NoSync: o.NoSync,
	})
}

// start runs the server once, on o.Port or a free one.
func (o *ServerOptions) start(ctx context.Context, inst Installation) (*Server, error) {
	id, err := resolveIdentity(o.UID, o.GID)
	if err != nil {
		return nil, err
	}
	if err := id.reach(filepath.Join(o.Dir, "data")); err != nil {
		return nil, err
	}
	s := &Server{Port: o.Port, address: o.ListenAddress, user: o.AdminUser, password: o.AdminPassword, ended: make(chan struct{})}
	if s.Port == 0 {
		if s.Port, err = freePort(o.ListenAddress); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(o.LogFile, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	logged, err := log.Seek(0, 2)
	if err != nil {
		return nil, err
	}
	args := Command(inst, filepath.Join(o.Dir, "data"), o.ListenAddress, s.Port)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = inst.environ(), "/", log, log
	cmd.SysProcAttr = dieWithParent(id.attributes())
	if err := s.run(cmd); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, filepath.Join(o.Dir, "data")); err != nil {
		s.end(syscall.SIGQUIT, killStop)
		s.end(syscall.SIGKILL, killStop)
		return nil, explain(err, log, logged)
	}
	return s, nil
}

// run starts the process from a thread that lives as long as the process: the
// signal that ends it with its parent is sent when that thread ends.
func (s *Server) run(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.err = cmd.Wait()
			close(s.ended)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.Pid = cmd.Process.Pid
	return nil
}

// ready waits until the server answers, and makes sure that it is this one.
func (s *Server) ready(ctx context.Context, dataDir string) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-s.ended:
			return fmt.Errorf("%w: %v", ErrDied, s.err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		case <-tick.C:
		}
		var directory string
		if directory, last = s.ping(ctx); last != nil {
			continue
		}
		if directory != dataDir {
			return fmt.Errorf("port %d: %w by the Postgres in %s", s.Port, syscall.EADDRINUSE, directory)
		}
		return nil
	}
}

func (s *Server) ping(ctx context.Context) (dataDir string, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingWait)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	return dataDir, conn.QueryRow(ctx, "SHOW data_directory").Scan(&dataDir)
}

// explain adds what the server logged since it was started.
func explain(err error, log *os.File, from int64) error {
	text := make([]byte, 16<<10)
	n, _ := log.ReadAt(text, from)
	if strings.Contains(string(text[:n]), "Address already in use") {
		err = errors.Join(err, syscall.EADDRINUSE)
	}
	if strings.Contains(string(text[:n]), "pre-existing shared memory block") {
		err = errors.Join(err, errLeftOver)
	}
	return fmt.Errorf("%w; it logged to %s: %s", err, log.Name(), lastLines(text[:n]))
}

func freePort(address string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// URL of a database of this server, as its administrator.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(s.user, s.password),
		Host:     net.JoinHostPort(s.address, strconv.Itoa(s.Port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Stop ends the server: a fast shutdown, which ends sessions and writes
// everything out; when ctx or ten seconds are over an immediate one, which
// loses nothing committed either, and is reported as an error. No error when
// the server has ended before.
func (s *Server) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fastStop)
	defer cancel()
	select {
	case <-s.ended:
		return nil
	default:
	}
	_ = syscall.Kill(s.Pid, syscall.SIGINT)
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
	}
	if !s.end(syscall.SIGQUIT, killStop) && !s.end(syscall.SIGKILL, killStop) {
		return fmt.Errorf("stop Postgres: process %d can't be killed: %w", s.Pid, ctx.Err())
	}
	return fmt.Errorf("stop Postgres: fast shutdown was not done in time, it was ended at once: %w", ctx.Err())
}

// Kill ends the server as a crash would. The data is recovered at the next Start.
func (s *Server) Kill() {
	s.end(syscall.SIGKILL, killStop)
}

// end sends a signal and says whether the process was gone in time.
func (s *Server) end(sig syscall.Signal, wait time.Duration) bool {
	select {
	case <-s.ended:
		return true
	default:
		// Not reaped yet, so the id is still this process's.
		_ = syscall.Kill(s.Pid, sig)
	}
	select {
	case <-s.ended:
		return true
	case <-time.After(wait):
		return false
	}
}

// Ended is closed when the server's process is gone, whoever ended it.
func (s *Server) Ended() <-chan struct{} { return s.ended }
