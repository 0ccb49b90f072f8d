package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
)

// everyoneElse ends the sessions of others in the shop's database.
const everyoneElse = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop' AND pid <> pg_backend_pid()"

// unusable are the ways in which a source can be gone for godwit.
var unusable = map[string]func(t *testing.T, source *migratetest.Server){
	"gone": func(_ *testing.T, source *migratetest.Server) { source.Stop() },
	"dropped": func(t *testing.T, source *migratetest.Server) {
		elsewhere := strings.Replace(source.Admin, "/shop", "/postgres", 1)
		migratetest.Exec(t, elsewhere, "ALTER DATABASE shop ALLOW_CONNECTIONS false")
		migratetest.Eventually(t, "nobody uses it", func() bool {
			return migratetest.Try(t.Context(), elsewhere, everyoneElse+"; ALTER DATABASE shop RENAME TO other") == nil
		})
	},
	"locked": func(t *testing.T, source *migratetest.Server) {
		migratetest.Exec(t, strings.Replace(source.Admin, "/shop", "/postgres", 1), "ALTER DATABASE shop ALLOW_CONNECTIONS false", everyoneElse)
	},
	"rejected by pg_hba.conf": func(t *testing.T, source *migratetest.Server) {
		hba := filepath.Join(migratetest.Text(t, source.Admin, "current_setting('data_directory')"), "pg_hba.conf")
		if err := os.WriteFile(hba, []byte("host all all 0.0.0.0/0 reject\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		migratetest.Exec(t, source.Admin, "SELECT pg_reload_conf(); "+everyoneElse)
		migratetest.Eventually(t, "nobody is let in", func() bool { return migratetest.Try(t.Context(), source.Admin, "SELECT 1") != nil })
	},
	"closed to godwit's role": func(t *testing.T, source *migratetest.Server) {
		migratetest.Exec(t, source.Admin, "BEGIN READ WRITE; ALTER ROLE CURRENT_USER NOLOGIN; COMMIT; "+everyoneElse)
	},
	"in recovery": func(t *testing.T, source *migratetest.Server) { source.Standby(t) },
}

// TestEveryWayOut: whatever has become of the source, abort before the cutover, finish
// after it and down end; without --without-source they say that it exists, and nothing
// is lost that nobody gave up.
func TestEveryWayOut(t *testing.T) {
	t.Parallel()
	for state, spoil := range unusable {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			t.Run("abort", func(t *testing.T) {
				t.Parallel()
				l := syncedAs(t, false, spoil)
				_, err := l.Abort(t.Context(), "datacenter", api.LeaveRequest{}, l.events.sink())
				l.fails(err, api.Failed, "--without-source", "all that is left of it", "pg_dump")
				if n := migratetest.Text(t, l.site.target.Admin, `SELECT count(*) FROM "order"`); n != "10" {
					t.Fatalf("the copy has %s rows, and nobody gave it up", n)
				}
				_, err = l.Abort(t.Context(), "datacenter", api.LeaveRequest{WithoutSource: true}, l.events.sink())
				l.ok(err)
				l.left("adopted")
			})
			t.Run("finish", func(t *testing.T) {
				t.Parallel()
				l := syncedAs(t, true, spoil)
				_, err := l.Finish(t.Context(), "datacenter", api.LeaveRequest{}, l.events.sink())
				l.fails(err, api.Failed, "--without-source", "Lost then is the way back", "by-hand")
				_, err = l.Finish(t.Context(), "datacenter", api.LeaveRequest{WithoutSource: true}, l.events.sink())
				l.ok(err)
				l.left("finished")
				migratetest.Exec(t, l.site.target.App, `INSERT INTO "order" (key) VALUES ('goes on')`)
				if n := migratetest.Text(t, l.site.target.Admin, `SELECT count(*) FROM "order"`); n != "12" {
					t.Errorf("%s rows: a write is lost", n)
				}
			})
			for phase, cutover := range map[string]bool{"before the cutover": false, "after it": true} {
				t.Run("down "+phase, func(t *testing.T) {
					t.Parallel()
					l := syncedAs(t, cutover, spoil)
					_, err := l.Down(t.Context(), api.DownRequest{}, l.events.sink())
					l.fails(err, api.Refused)
					_, err = l.Down(t.Context(), api.DownRequest{Approve: true}, l.events.sink())
					l.ok(err)
					if said := l.events.String(); !strings.Contains(said, "what godwit made there stays") || !strings.Contains(said, "by-hand") {
						t.Error("down does not say what is left on the source")
					}
				})
			}
		})
	}
}

// TestFinishAfterAGivenUpRollback: a rollback was given up while it fenced the
// environment, or the engine was killed just after that; then the source is gone for
// good. The environment is opened all the same.
func TestFinishAfterAGivenUpRollback(t *testing.T) {
	t.Parallel()
	l := syncedAs(t, true, func(_ *testing.T, source *migratetest.Server) { source.Stop() })
	p := migrate.Plan{Migration: "datacenter", From: migrate.Target, Environment: "production"}
	away := func(context.Context, *journal.Notes) error { return errors.New("the source is away") }
	fence := func(context.Context, *journal.Notes) error {
		return migratetest.Try(t.Context(), l.site.target.Admin, "BEGIN READ WRITE; SELECT godwit.raise_until(9223372036854775806); COMMIT")
	}
	short := journal.Limits{Undo: 50 * time.Millisecond, Finish: 50 * time.Millisecond, Pause: time.Millisecond, LongestPause: 10 * time.Millisecond}
	outcome, err := l.journal.Within(short).Run(t.Context(), journal.Run{ID: "rollback-datacenter-1", Kind: p.Kind(), Subject: "datacenter", Payload: p.Payload()},
		[]journal.Step{{Name: "fence", Do: fence, Undo: away}, {Name: "catch-up", Do: away}}, func(journal.Event) {})
	if outcome.Status != journal.Stuck {
		t.Fatalf("%+v, %v", outcome, err)
	}
	write := `INSERT INTO "order" (key) VALUES ('goes on')`
	if migratetest.Try(t.Context(), l.site.target.App, write) == nil {
		t.Fatal("the target is not fenced")
	}
	_, err = l.AbandonRun(t.Context(), "datacenter", l.events.sink())
	l.ok(err)
	_, err = l.Finish(t.Context(), "datacenter", api.LeaveRequest{WithoutSource: true}, l.events.sink())
	l.ok(err)
	l.left("finished")
	migratetest.Exec(t, l.site.target.App, write)
}

// syncedAs is a migration that is synced, or cut over with a write that only the target
// has, and whose source is then spoilt.
func syncedAs(t *testing.T, cutover bool, spoil func(*testing.T, *migratetest.Server)) *looked {
	t.Helper()
	l := newLooked(t, 10)
	_, err := l.Sync(t.Context(), "datacenter", l.events.sink())
	l.ok(err)
	if cutover {
		l.switched("cutover", l.Cutover, l.events.sink())
		migratetest.Exec(t, l.site.target.App, `INSERT INTO "order" (key) VALUES ('only here')`)
	}
	spoil(t, l.site.source)
	return l
}

// left: the migration has ended, and nothing of godwit is left on the target.
func (l *looked) left(phase string) {
	l.Helper()
	w, err := l.current()
	l.ok(err)
	m, err := l.migration(l.Context(), w, "datacenter")
	l.ok(err)
	if m.state.Phase != phase {
		l.Errorf("the migration is %s", m.state.Phase)
	}
	if open, _ := l.site.relays(); open != 0 {
		l.Errorf("%d relays are open", open)
	}
	if n := migratetest.Text(l.T, l.site.target.Admin, `SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'godwit') + (SELECT count(*) FROM pg_publication)
		+ (SELECT count(*) FROM pg_subscription) + (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'godwit%')`); n != "0" {
		l.Errorf("%s things of godwit are left on the target", n)
	}
}

// TestWayGivenUp: a way back that is dead keeps no more of the log than is declared. It
// is said, and what would need it is refused.
func TestWayGivenUp(t *testing.T) {
	t.Parallel()
	l := newLooked(t, 10, func(l *looked) { l.edit(`max_pause = "20s"`, `max_pause = "20s"`+"\n  keep_wal  = \"64MB\"") })
	_, err := l.Sync(t.Context(), "datacenter", l.events.sink())
	l.ok(err)
	l.switched("cutover", l.Cutover, l.events.sink())
	l.site.source.Stop()
	w, err := l.current()
	l.ok(err)
	slots := func() string {
		return migratetest.Text(t, l.site.target.Admin, "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'")
	}
	migratetest.Exec(t, l.site.target.Admin, "SELECT count(pg_logical_emit_message(false, 'load', repeat('x', 1 << 20))) FROM generate_series(1, 32)")
	if l.ok(l.boundWALOf(t.Context(), w, "datacenter")); slots() != "1" {
		t.Fatalf("%s slots below the bound", slots())
	}
	migratetest.Exec(t, l.site.target.Admin, "SELECT count(pg_logical_emit_message(false, 'load', repeat('x', 1 << 20))) FROM generate_series(1, 40)")
	if l.ok(l.boundWALOf(t.Context(), w, "datacenter")); slots() != "0" {
		t.Errorf("%s slots beyond the bound keep the log", slots())
	}
	s, err := l.MigrationStatus(t.Context(), "datacenter")
	if l.ok(err); !strings.Contains(s.Problem, "cannot follow any more") || !strings.Contains(s.Problem, "keep_wal") || !strings.Contains(s.Problem, "finish") {
		t.Errorf("the status says %q", s.Problem)
	}
	if said := l.log.String(); !strings.Contains(said, "a way is given up") {
		t.Error("the log says nothing")
	}
	_, err = l.RollbackMigration(t.Context(), "datacenter", l.events.sink())
	l.fails(err, api.Usage, "cannot follow any more", "keep_wal")
	_, err = l.Finish(t.Context(), "datacenter", api.LeaveRequest{WithoutSource: true}, l.events.sink())
	if err = errors.Join(err, l.boundWALOf(t.Context(), w, "datacenter")); err != nil {
		t.Error(err)
	}
	l.left("finished")
}
