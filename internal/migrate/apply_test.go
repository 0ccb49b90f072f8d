package migrate_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// apply makes a change on both sides.
func (m *move) apply(t *testing.T, truth migrate.Side, catchUp bool, sql string) (migrate.Applied, error) {
	t.Helper()
	m.runs++
	a := migrate.Apply{Migration: "datacenter", Environment: "production", Database: "shop", Truth: truth, CatchUp: catchUp, SQL: sql}
	run := journal.Run{ID: fmt.Sprint("run-", m.runs), Kind: migrate.KindApply, Subject: "datacenter", Payload: a.Payload()}
	_, err := m.journal.Run(t.Context(), run, migrate.ApplySteps(a, run.ID, m.writer), nil)
	record, rerr := m.journal.Record(t.Context(), run.ID)
	if rerr != nil {
		t.Fatal(rerr)
	}
	return migrate.NewApplied(func(name string) string { return record.Notes[name] }), err
}

// applied is apply that is to be done.
func (m *move) applied(t *testing.T, truth migrate.Side, catchUp bool, sql string) migrate.Applied {
	t.Helper()
	a, err := m.apply(t, truth, catchUp, sql)
	if err != nil || a.Refused != "" || a.Half != "" {
		t.Fatalf("apply %.60q with the truth at the %s: %+v, %v", sql, truth, a, err)
	}
	for _, side := range []string{postgres.Source, postgres.Target} {
		if err := migratetest.Reader(t, migratetest.Pair(t, m.source, m.target)).Unchanged(t.Context(), side); err != nil {
			t.Errorf("after apply %.60q: %v", sql, err)
		}
	}
	return a
}

// release is what a new version of the shop brings with it: columns with and
// without rows to fill, tables with rows, an index, a constraint, a function.
const release = `-- tips
ALTER TABLE receipt ADD COLUMN tip int NOT NULL DEFAULT 0, ADD COLUMN day date;
UPDATE receipt SET tip = no % 7, day = '2026-01-01'::date + (no % 365)::int;
ALTER TABLE "order" ALTER COLUMN note TYPE varchar(200);
CREATE INDEX by_note ON "order" (note);
CREATE FUNCTION fair(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 >= 0';
ALTER TABLE receipt ADD CONSTRAINT fair CHECK (fair(tip));
CREATE TABLE kind (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
CREATE TABLE guest (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind bigint REFERENCES kind, name text);
INSERT INTO kind (name) VALUES ('regular'), ('new');
INSERT INTO guest (kind, name) SELECT 1 + g % 2, 'guest ' || g FROM generate_series(1, 500) g;
`

// TestApplyOnBothSides changes definitions on both sides under load: after the sync,
// after the cutover, after the way back. Both sides stay equal, and both ways open.
func TestApplyOnBothSides(t *testing.T) {
	m := startMove(t, 2000)
	m.load(t, 4, 40*time.Millisecond)
	m.more(t, 10)
	m.sync(t)
	truth := migrate.Source
	url := map[migrate.Side]string{migrate.Source: m.source.App, migrate.Target: m.target.App}
	for i, sql := range []string{release, "ALTER TABLE receipt DROP COLUMN tip; ALTER TABLE guest RENAME TO visitor; DROP FUNCTION fair",
		"DROP TABLE visitor; ALTER TABLE kind ADD COLUMN no int; ALTER TABLE receipt DROP COLUMN day, ADD COLUMN day text DEFAULT 'some'"} {
		a := m.applied(t, truth, false, sql)
		t.Logf("change %d with the truth at the %s: %s", i, truth, strings.Join(a.Changes, ", "))
		if i < 2 {
			migratetest.Exec(t, url[truth], "INSERT INTO kind (name) SELECT 'later ' || g FROM generate_series(1, 50) g")
		}
		m.more(t, 10)
		if v, err := m.writer.Verify(t.Context(), nil); err != nil || len(v.Differing) > 0 {
			t.Fatalf("verify after change %d: %+v, %v", i, v, err)
		}
		if report := m.shift(t, truth); report.Status != journal.Done || len(report.Findings) > 0 {
			t.Fatalf("switch after change %d: %s %+v", i, report.Status, report.Findings)
		}
		truth = truth.Other()
		m.more(t, 10)
	}
	if report := m.shift(t, truth); report.Status != journal.Done {
		t.Fatalf("the last rollback: %+v", report.Findings)
	}
	if n := migratetest.Text(t, m.source.Admin, "SELECT count(*) FROM kind"); n != "102" {
		t.Errorf("%s kinds", n)
	}
	if left := migratetest.Text(t, m.source.Admin, `SELECT count(*) FROM pg_roles WHERE rolname LIKE 'godwit%\_d'`); left != "0" {
		t.Errorf("%s roles are left", left)
	}
	m.audit(t)
	if err := m.writer.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestApplyRefused: what would not be the same on both sides, or not at once, is
// refused with the reason, and nothing of it is there.
func TestApplyRefused(t *testing.T) {
	m := startMove(t, 100)
	migratetest.Exec(t, m.source.Admin, "CREATE TABLE root (id int PRIMARY KEY)")
	m.sync(t)
	for sql, want := range map[string]string{
		`CREATE INDEX CONCURRENTLY i ON "order" (note)`:                                                                               "CONCURRENTLY",
		"CREATE TABLE one (id int); COMMIT; CREATE TABLE two (id int)":                                                                "leave out BEGIN",
		"CREATE TABLE one (id int PRIMARY KEY);\nCREATE TABLE two (id nonsense)":                                                      "line 2",
		"CREATE TABLE one (id int PRIMARY KEY);\n\\dt":                                                                                "psql",
		"ALTER TABLE register ADD COLUMN made timestamptz DEFAULT now()":                                                              "other values in public.register.made",
		"ALTER TABLE register ADD COLUMN made uuid DEFAULT gen_random_uuid()":                                                         "other values in public.register.made",
		"ALTER TABLE register ADD COLUMN serial bigserial":                                                                            "other values in public.register.serial",
		"CREATE TABLE one (id int PRIMARY KEY); INSERT INTO register VALUES (9)":                                                      "adds rows to public.register",
		"UPDATE register SET last = last":                                                                                             "change no definition",
		"ALTER TABLE root ADD COLUMN x int":                                                                                           "never as a superuser",
		"RESET ROLE; ALTER ROLE shop SUPERUSER":                                                                                       "must be superuser",
		"RESET ROLE; RESET SESSION AUTHORIZATION; DELETE FROM godwit.state; SELECT 1/0":                                               "permission denied",
		"CREATE TABLE k (id int PRIMARY KEY); INSERT INTO k VALUES (1); ALTER TABLE register ADD COLUMN k int DEFAULT 1 REFERENCES k": "a file of its own first",
		"CREATE TABLE k (id int)":                                                                                                     "table public.k would have no primary key and no replica identity",
		"CREATE TABLE k (id int PRIMARY KEY DEFERRABLE)":                                                                              "the key of table public.k (public.k_pkey) is deferrable",
		"CREATE TABLE k (doc json); ALTER TABLE k REPLICA IDENTITY FULL":                                                              "public.k.doc, json",
		"": "change no definition",
	} {
		a, err := m.apply(t, migrate.Source, false, sql)
		text := fmt.Sprint(a.Refused, err)
		if a.Half != "" || !strings.Contains(text, "refused") || !strings.Contains(text, want) {
			t.Errorf("%q: want a refusal with %q, have %+v, %v", sql, want, a, err)
		}
		for _, side := range []string{postgres.Source, postgres.Target} {
			if err := m.writer.Unchanged(t.Context(), side); err != nil {
				t.Errorf("%q: %v", sql, err)
			}
		}
	}
	m.applied(t, migrate.Source, false, "CREATE TABLE one (id int PRIMARY KEY)")
}

// TestCatchUp: a release has changed definitions where the truth is. The other side
// gets the same afterwards, and the rows that waited for it.
func TestCatchUp(t *testing.T) {
	m := startMove(t, 500)
	m.load(t, 4, 30*time.Millisecond)
	m.sync(t)
	m.shift(t, migrate.Source)
	const mine = "ALTER TABLE receipt ADD COLUMN tip int NOT NULL DEFAULT 3; CREATE TABLE kind (id int PRIMARY KEY); ALTER TABLE kind ADD COLUMN name text"
	if a, err := m.apply(t, migrate.Target, true, mine); err == nil || !strings.Contains(err.Error(), "leave out --catch-up") {
		t.Errorf("nothing to catch up: %+v, %v", a, err)
	}
	migratetest.Exec(t, m.target.App, mine, "INSERT INTO kind SELECT g FROM generate_series(1, 40) g", "UPDATE receipt SET tip = 4 WHERE no % 2 = 0")
	m.more(t, 50)
	if a, err := m.apply(t, migrate.Target, false, "CREATE TABLE more (id int PRIMARY KEY)"); err == nil || !strings.Contains(err.Error(), "table public.kind added") {
		t.Errorf("a change over another: %+v, %v", a, err)
	}
	if a, err := m.apply(t, migrate.Target, true, "CREATE TABLE kind (id int PRIMARY KEY, name text)"); err == nil || !strings.Contains(err.Error(), "not do the same on both sides") {
		t.Errorf("half of it: %+v, %v", a, err)
	}
	a := m.applied(t, migrate.Target, true, mine)
	if !slices.Contains(a.Changes, "table public.kind added") {
		t.Errorf("changes %q", a.Changes)
	}
	m.more(t, 50)
	if report := m.shift(t, migrate.Target); report.Status != journal.Done || len(report.Findings) > 0 {
		t.Fatalf("rollback: %+v", report.Findings)
	}
	m.more(t, 20)
	if n := migratetest.Text(t, m.source.Admin, "SELECT count(*) FROM kind"); n != "40" {
		t.Errorf("%s kinds came back", n)
	}
	m.audit(t)
}

// TestCatchUpAfterGivingUp: a change was made on the truth, and given up there. The stream
// stands at it, and goes on with no row lost when the other side gets the same.
func TestCatchUpAfterGivingUp(t *testing.T) {
	m := startMove(t, 200)
	m.load(t, 2, 40*time.Millisecond)
	m.sync(t)
	const mine = "ALTER TABLE receipt ADD COLUMN tip int NOT NULL DEFAULT 3"
	a := migrate.Apply{Migration: "datacenter", Environment: "production", Database: "shop", Truth: migrate.Source, SQL: mine}
	steps := migrate.ApplySteps(a, "given-up", m.writer)[:2]
	if outcome, err := m.journal.Run(t.Context(), journal.Run{ID: "given-up", Kind: migrate.KindApply, Subject: "datacenter", Payload: a.Payload()}, steps, nil); outcome.Status != journal.Done {
		t.Fatalf("%+v, %v", outcome, err)
	}
	m.more(t, 20)
	m.applied(t, migrate.Source, true, mine)
	m.more(t, 20)
	if report := m.shift(t, migrate.Source); report.Status != journal.Done || len(report.Findings) > 0 {
		t.Fatalf("cutover: %+v", report.Findings)
	}
	m.audit(t)
}

// TestKilledWhileApplying kills the engine in and after each step of a change, under
// load and with the truth on either side: the next one makes it on both sides, or on
// none. No row is lost on the side that follows.
func TestKilledWhileApplying(t *testing.T) {
	m := startMove(t, 300)
	m.load(t, 3, 50*time.Millisecond)
	m.sync(t)
	m.writer.Close()
	dir, truth := filepath.Join(t.TempDir(), "store"), migrate.Source
	made := 0
	kill := func(step string, after bool, delay time.Duration) {
		when := fmt.Sprintf("killed at %s (after: %v, %v) with the truth at the %s", step, after, delay, truth)
		sql := fmt.Sprintf("ALTER TABLE receipt DROP COLUMN IF EXISTS again, ADD COLUMN again text DEFAULT 'v%[1]d'; CREATE TABLE made_%[1]d (id int PRIMARY KEY); "+
			"INSERT INTO made_%[1]d SELECT generate_series(1, 20); DELETE FROM \"order\" WHERE key LIKE 'old-%%%[1]d'", made)
		made++
		e := engine{Source: m.source.Admin, Target: m.target.Admin, Store: dir, Plan: m.plan(truth), Run: fmt.Sprint("change-", made), Step: step, After: after, Delay: delay,
			Apply: &migrate.Apply{Migration: "datacenter", Environment: "production", Database: "shop", Truth: truth, SQL: sql}}
		e.start(t)
		m.more(t, 5)
		e.Step, e.Resume = "", true
		status := e.start(t)
		m.renew(t)
		defer m.writer.Close()
		for _, side := range []string{postgres.Source, postgres.Target} {
			if err := m.writer.Unchanged(t.Context(), side); err != nil {
				t.Errorf("%s: ended as %q: %v", when, status, err)
			}
		}
		both := map[bool]string{true: "20", false: ""}[status == string(journal.Done)]
		for _, url := range []string{m.source.Admin, m.target.Admin} {
			have := migratetest.Text(t, url, fmt.Sprintf("SELECT to_regclass('made_%d')", made-1))
			if have != "" {
				have = migratetest.Text(t, url, fmt.Sprintf("SELECT count(*) FROM made_%d", made-1))
			}
			if have != both {
				t.Errorf("%s: ended as %q, and has %q rows", when, status, have)
			}
		}
		m.more(t, 5)
		if v, err := m.writer.Verify(t.Context(), nil); err != nil || len(v.Differing) > 0 {
			t.Fatalf("%s: ended as %q: verify %+v, %v", when, status, v, err)
		}
		t.Logf("%s: %s", when, status)
	}
	for _, step := range migrate.ApplySteps(migrate.Apply{}, "", nil) {
		kill(step.Name, false, rand.N(20*time.Millisecond))
		kill(step.Name, true, 0)
		if step.Name == "truth" { // the rest is done towards the other side
			m.renew(t)
			if report := m.shift(t, truth); report.Status != journal.Done {
				t.Fatalf("switch: %+v", report.Findings)
			}
			m.writer.Close()
			truth = truth.Other()
		}
	}
	m.renew(t)
	if report := m.shift(t, truth); report.Status != journal.Done {
		t.Fatalf("the way back: %+v", report.Findings)
	}
	m.audit(t)
}
