// Package pgtest runs a real Postgres for bistro's tests, so that bistro stands
// alone. One server serves all tests of a package; each test gets a database of
// its own. Only tests may import it.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a running Postgres of this test binary.
type Server struct {
	dir  string
	port int
	cmd  *exec.Cmd
}

var databases atomic.Int64

// Main runs the tests of a package around a server: the whole of TestMain.
func Main(m *testing.M, server **Server) int {
	s, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	*server = s
	defer s.stop()
	return m.Run()
}

func start() (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bistro-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	as, err := unprivileged(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.launch(bin, as); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// binaries finds the newest installed Postgres in Debian's layout, else on the PATH.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well-formed
	if len(found) > 0 {
		return filepath.Dir(slices.Max(found)), nil
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("no Postgres server on this machine (apt-get install postgresql): %w", err)
	}
	return filepath.Dir(initdb), nil
}

// unprivileged gives dir to an ordinary user when root runs the tests: Postgres
// refuses to run as root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	as := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return as, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid) // numeric on every system with Postgres
	gid, _ := strconv.Atoi(u.Gid)
	as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return as, os.Chown(dir, uid, gid)
}

func (s *Server) launch(bin string, as *syscall.SysProcAttr) error {
	data := filepath.Join(s.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = as, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	s.port = port
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own copy
	s.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
		"-c", "max_connections=150", "-c", "log_min_messages=fatal")
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stderr = as, s.dir, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	return s.await()
}

func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres", "postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			said, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("postgres did not start: %w: %s", err, said)
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func (s *Server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // immediate: nothing of it is kept
		_ = s.cmd.Wait()
	}
	_ = os.RemoveAll(s.dir)
}

func (s *Server) url(role, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, s.port, database)
}

// Database is a fresh database and the role that owns it.
type Database struct {
	Name  string // of the database and of its owner
	URL   string // as the owner
	Admin *pgx.Conn
	admin string
}

// Database makes a database with a schema, owned by a role of its own, that
// goes when the test ends.
func (s *Server) Database(t testing.TB, schema string) *Database {
	t.Helper()
	ctx := t.Context()
	name := fmt.Sprintf("bistro_%d", databases.Add(1))
	root, err := pgx.Connect(ctx, s.url("postgres", "postgres"))
	check(t, err)
	defer root.Close(ctx)
	for _, stmt := range []string{"CREATE ROLE " + name + " LOGIN", "CREATE DATABASE " + name + " OWNER " + name} {
		_, err = root.Exec(ctx, stmt)
		check(t, err)
	}
	db := &Database{Name: name, URL: s.url(name, name), admin: s.url("postgres", name)}
	db.as(t, db.URL, schema)
	db.Admin, err = pgx.Connect(ctx, db.admin)
	check(t, err)
	t.Cleanup(func() { _ = db.Admin.Close(context.Background()) })
	return db
}

func (db *Database) as(t testing.TB, url, sql string) {
	t.Helper()
	if strings.TrimSpace(sql) == "" {
		return
	}
	conn, err := pgx.Connect(t.Context(), url)
	check(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql)
	check(t, err)
}

// Owner runs SQL as the owner, in a session of its own.
func (db *Database) Owner(t testing.TB, sql string) { t.Helper(); db.as(t, db.URL, sql) }

// Exec runs SQL as the administrator; "{db}" stands for the database's name.
func (db *Database) Exec(t testing.TB, sql string) {
	t.Helper()
	_, err := db.Admin.Exec(t.Context(), strings.ReplaceAll(sql, "{db}", db.Name))
	check(t, err)
}

// Int asks the administrator's session for one number.
func (db *Database) Int(t testing.TB, sql string, args ...any) int64 {
	t.Helper()
	var n int64
	check(t, db.Admin.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// EndSessions ends every session of the owner, as a fence does.
func (db *Database) EndSessions(t testing.TB) {
	t.Helper()
	db.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{db}'")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
