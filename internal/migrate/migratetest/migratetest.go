// Package migratetest gives the tests of migrate real servers on both sides, a
// small shop in the source, a gate that stands for the gateway, and clients
// that keep a ledger of what was acknowledged. Only tests may import it.
package migratetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/migrate/postgres"
	local "godwit/internal/site/local/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// Owner is the role of the shop on both sides: no superuser.
const Owner = "shop"

const database = "shop"

// schema of the shop: gapless receipts per register, orders with a sequence.
const schema = `
CREATE TABLE register (id int PRIMARY KEY, last bigint NOT NULL DEFAULT 0);
INSERT INTO register SELECT g FROM generate_series(1, 8) g;
CREATE TABLE receipt (register int REFERENCES register, no bigint, key text NOT NULL UNIQUE, PRIMARY KEY (register, no));
CREATE TABLE "order" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL UNIQUE, note text);
CREATE SEQUENCE ticket START 100 INCREMENT 5;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE visit (day date, id int, mood mood, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO visit SELECT '2026-01-01'::date + g, g, 'good' FROM generate_series(0, 300) g;
CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';
CREATE VIEW till AS SELECT register, count(*) FROM receipt GROUP BY register;
`

// Server is one side.
type Server struct {
	Admin string // URL of the shop's database, as superuser
	App   string // as Owner
	Root  string // as a superuser, where Admin is none
	Port  int
	Pid   int
	stop  func(context.Context) error
}

// StartServer starts a server with the database of the shop, empty.
func StartServer(t testing.TB, options ...postgrestest.Option) *Server {
	t.Helper()
	options = append([]postgrestest.Option{
		postgrestest.Config("wal_level", "logical"), postgrestest.Config("wal_retrieve_retry_interval", "200ms"),
		postgrestest.Config("max_worker_processes", "16"), postgrestest.Config("max_logical_replication_workers", "10"),
		postgrestest.Config("max_prepared_transactions", "4"),
	}, options...)
	server := postgrestest.StartForTest(t, options...)
	admin := server.URL("postgres")
	Exec(t, admin, "CREATE ROLE "+Owner+" LOGIN PASSWORD 'shop'", "CREATE DATABASE "+database+" OWNER "+Owner)
	return &Server{Admin: server.URL(database), App: as(t, server.URL(database), Owner, "shop"), Port: server.Port, Pid: server.Pid, stop: server.Stop}
}

// Stop ends the server at once, if it has not ended by itself.
func (s *Server) Stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()        // no patience
	_ = s.stop(ctx) // says that it was ended the hard way
}

// Standby stops the server and starts it again as a standby that has no primary to
// follow: it is in recovery, and can only be read.
func (s *Server) Standby(t testing.TB) {
	t.Helper()
	data := Text(t, s.Admin, "current_setting('data_directory')")
	s.Stop()
	owner, err := os.Stat(filepath.Join(data, "postgresql.conf"))
	if err != nil {
		t.Fatal(err)
	}
	signal := filepath.Join(data, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if id, ok := owner.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(signal, int(id.Uid), int(id.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	inst, err := local.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(s.Admin)
	if err != nil {
		t.Fatal(err)
	}
	server, err := local.Start(t.Context(), inst, local.ServerOptions{Dir: filepath.Dir(data), Port: s.Port, AdminPassword: config.Password, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Pid, s.stop = server.Pid, server.Stop
	t.Cleanup(s.Stop)
}

// Fill makes the shop, with rows orders in it.
func (s *Server) Fill(t testing.TB, rows int) {
	t.Helper()
	Exec(t, s.App, schema, fmt.Sprintf(`INSERT INTO "order" (key, note) SELECT 'old-' || g, repeat('x', 100) FROM generate_series(1, %d) g`, rows))
}

// Pair of two servers, the way between them direct.
func Pair(t testing.TB, source, target *Server) postgres.Pair {
	t.Helper()
	inst, err := local.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return postgres.Pair{Migration: "datacenter", Database: database, Owner: Owner, State: "test",
		Dump:   postgres.Dump{Path: filepath.Join(inst.Bin, "pg_dump"), Env: inst.Env},
		Source: Side(t, source.Admin), Target: Side(t, target.Admin)}
}

// Side is reached at its URL by everybody.
func Side(t testing.TB, admin string) postgres.Side {
	t.Helper()
	config, err := postgres.ParseURL(admin)
	if err != nil {
		t.Fatal(err)
	}
	return postgres.Side{Config: config, Peer: postgres.Address(config)}
}

// generation of the writer that was made last, in this process or for another.
var generation atomic.Uint64

// Generation is one that no writer has had yet.
func Generation() uint64 { return generation.Add(1) }

// Writer that closes with the test: that of an engine which starts now.
func Writer(t testing.TB, p postgres.Pair) *postgres.Writer {
	b := postgres.NewWriter(p, Generation())
	t.Cleanup(b.Close)
	return b
}

// Reader that closes with the test.
func Reader(t testing.TB, p postgres.Pair) *postgres.Reader {
	b := postgres.NewReader(p)
	t.Cleanup(b.Close)
	return b
}

// Exec runs statements in one session.
func Exec(t testing.TB, url string, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := Try(t.Context(), url, statement); err != nil {
			t.Fatalf("%.80s: %v", statement, err)
		}
	}
}

// Try runs one statement, or several, in a session of its own.
func Try(ctx context.Context, url, statement string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.PgConn().Exec(ctx, statement).ReadAll()
	return err
}

// Text is the first column of the first row.
func Text(t testing.TB, url, query string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var text *string
	if err := conn.QueryRow(t.Context(), "SELECT ("+query+")::text").Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if text == nil {
		return ""
	}
	return *text
}

// Eventually waits until a condition holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("waited 30 s in vain until %s", what)
		case <-tick.C:
		}
	}
}
