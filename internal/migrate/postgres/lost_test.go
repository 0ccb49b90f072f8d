package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// Log that a server does not keep any more is lost, and so is the way: every look says
// it, nothing goes on as if it were there, and a sync from the beginning helps.
func TestLostLogIsFound(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, source *migratetest.Server, b *postgres.Writer){
		"lost": func(t *testing.T, source *migratetest.Server, _ *postgres.Writer) {
			for range 3 {
				migratetest.Exec(t, source.Admin, "SELECT count(pg_logical_emit_message(false, 'load', repeat('x', 1 << 20))) FROM generate_series(1, 40)", "CHECKPOINT")
			}
			if got := migratetest.Text(t, source.Admin, "SELECT string_agg(wal_status, ' ') FROM pg_replication_slots"); got != "lost" {
				t.Fatalf("the slot is %s: this proves nothing", got)
			}
		},
		"gone": func(t *testing.T, _ *migratetest.Server, b *postgres.Writer) {
			if err := b.GiveUpWay(t.Context(), postgres.Source); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := migratetest.StartServer(t, postgrestest.Config("max_slot_wal_keep_size", "16MB"), postgrestest.Config("max_wal_size", "64MB"))
			target := migratetest.StartServer(t)
			source.Fill(t, 10)
			b := migratetest.Writer(t, migratetest.Pair(t, source, target))
			if err := b.Sync(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			migratetest.Exec(t, target.Admin, "SELECT pg_advisory_lock(1735353463, 0); DO $$ BEGIN EXECUTE (SELECT format('ALTER SUBSCRIPTION %I DISABLE', subname) FROM pg_subscription); END $$")
			migratetest.Eventually(t, "nobody reads the log", func() bool {
				return migratetest.Text(t, source.Admin, "SELECT count(*) FROM pg_replication_slots WHERE active") == "0"
			})
			lose(t, source, b)
			migratetest.Exec(t, source.App, `INSERT INTO "order" (key) VALUES ('missed')`)
			findings, err := migratetest.Reader(t, migratetest.Pair(t, source, target)).Check(t.Context())
			if err != nil || !findings.HasErrors() || !(found(findings, "error source: the log that the target still needs is lost") || found(findings, "error source: no log is kept")) {
				t.Errorf("check: %+v, %v", findings, err)
			}
			if s, err := b.Status(t.Context()); err != nil || !strings.Contains(s.Problem, "cannot follow") {
				t.Errorf("status: %+v, %v", s, err)
			}
			for what, do := range map[string]func() error{
				"prepare": func() error { return b.Prepare(t.Context(), postgres.Source) },
				"sync":    func() error { return b.Sync(t.Context(), nil) },
			} {
				if err := do(); !errors.Is(err, postgres.ErrState) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := b.Abort(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := b.Sync(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if n := migratetest.Text(t, target.Admin, `SELECT count(*) FROM "order" WHERE key = 'missed'`); n != "1" {
				t.Errorf("%s rows came with the second sync", n)
			}
		})
	}
}

// A standby is found before anything is tried, and is let go as it was.
func TestStandbyAsSource(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 10)
	source.Standby(t)
	pair := migratetest.Pair(t, source, target)
	findings, err := migratetest.Reader(t, pair).Check(t.Context())
	if err != nil || !found(findings, "error source: it is a standby") {
		t.Errorf("check: %+v, %v", findings, err)
	}
	b := migratetest.Writer(t, pair)
	if err := b.Sync(t.Context(), nil); err == nil {
		t.Error("a sync from a standby says that it is done")
	}
	_ = b.Abort(t.Context()) // whatever it says of the source, where nothing is
	if err := b.AbortAlone(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := migratetest.Text(t, target.Admin, left); n != "0" {
		t.Errorf("%s things are left on the target", n)
	}
}
