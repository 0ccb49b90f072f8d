package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

func TestSyncCopiesAndFencesTheTarget(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 20_000)
	migratetest.Exec(t, source.Admin, "CREATE EXTENSION IF NOT EXISTS pg_trgm", `CREATE SCHEMA back AUTHORIZATION shop`,
		`CREATE TABLE back."Odd ""name" (id int PRIMARY KEY, v text)`, `INSERT INTO back."Odd ""name" VALUES (1, E'a\\b''c')`,
		`CREATE INDEX ON "order" USING gin (note gin_trgm_ops)`, `CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM "order"`)
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	var mu sync.Mutex
	var seen []postgres.Progress
	if err := b.Sync(t.Context(), func(p postgres.Progress) { mu.Lock(); seen = append(seen, p); mu.Unlock() }); err != nil {
		t.Fatal(err)
	}
	if last := seen[len(seen)-1]; last.Stage != "synced" {
		t.Errorf("last progress %+v", last)
	}
	for _, query := range []string{`SELECT count(*) FROM "order"`, `SELECT count(*) FROM visit`, `SELECT v FROM back."Odd ""name"`, `SELECT n FROM total`} {
		if s, g := migratetest.Text(t, source.Admin, query), migratetest.Text(t, target.Admin, query); s != g {
			t.Errorf("%s: source %s, target %s", query, s, g)
		}
	}
	if got := migratetest.Text(t, target.Admin, `SELECT string_agg(DISTINCT pg_get_userbyid(relowner)::text, ' ') FROM pg_class c
		JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('public', 'back')`); got != migratetest.Owner {
		t.Errorf("objects are owned by %s", got)
	}
	for what, url := range map[string]string{"the owner": target.App, "a superuser": target.Admin} {
		for _, write := range []string{`INSERT INTO "order" (key) VALUES ('x')`, `UPDATE register SET last = 1`, `DELETE FROM visit`, `TRUNCATE receipt CASCADE`,
			`COPY register FROM STDIN`, `SET session_replication_role = replica; DELETE FROM register`, `CREATE TABLE more (id int)`, `DROP TABLE receipt`} {
			if err := migratetest.Try(t.Context(), url, write); err == nil {
				t.Errorf("%s can %s on the fenced target", what, write)
			}
		}
		if err := migratetest.Try(t.Context(), url, `SELECT * FROM "order"`); err != nil {
			t.Errorf("%s can't read on the target: %v", what, err)
		}
	}
	migratetest.Exec(t, source.App, `INSERT INTO "order" (key) VALUES ('later')`, "TRUNCATE visit")
	migratetest.Eventually(t, "what is written on the source arrives", func() bool {
		return migratetest.Text(t, target.Admin, `SELECT (SELECT count(*) FROM "order" WHERE key = 'later') - (SELECT count(*) FROM visit)`) == "1"
	})
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Errorf("a second sync: %v", err)
	}
	s, err := b.Status(t.Context())
	if err != nil || s.Phase != postgres.Synced || s.Truth != postgres.Source || s.Copied != s.Tables {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestDefinitionsThatChangeAreNamed(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	for _, change := range []struct{ do, undo, want string }{
		{"ALTER TABLE register ADD COLUMN extra int", "ALTER TABLE register DROP COLUMN extra", "table public.register changed"},
		{"CREATE TABLE surprise (id int PRIMARY KEY)", "DROP TABLE surprise", "table public.surprise added"},
		{"ALTER SEQUENCE ticket INCREMENT 7", "ALTER SEQUENCE ticket INCREMENT 5", "sequence public.ticket changed"},
		{"CREATE OR REPLACE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)'",
			"CREATE OR REPLACE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)'", "function public.shout(text) changed"},
		{"ALTER TYPE mood ADD VALUE 'so-so'", "", "enum public.mood changed"},
	} {
		if err := b.Prepare(t.Context(), postgres.Source); err != nil {
			t.Fatal(err)
		}
		migratetest.Exec(t, source.App, change.do)
		_, _, behind := fence(t, b, postgres.Source) // in one round trip
		if err := b.Unfence(t.Context(), postgres.Source); err != nil {
			t.Fatal(err)
		}
		for name, look := range map[string]error{"unchanged": b.Unchanged(t.Context(), postgres.Source), "fence": behind} {
			if !errors.Is(look, postgres.ErrChanged) || !strings.Contains(look.Error(), change.want) {
				t.Errorf("%s after %s: %v", name, change.do, look)
			}
		}
		if change.undo != "" {
			migratetest.Exec(t, source.App, change.undo)
		}
	}
	if err := b.Prepare(t.Context(), postgres.Source); !errors.Is(err, postgres.ErrChanged) {
		t.Errorf("prepare: %v", err)
	}
	if err := b.Sync(t.Context(), nil); !errors.Is(err, postgres.ErrChanged) {
		t.Errorf("sync: %v", err)
	}
}

// left counts everything of godwit's on a server.
const left = `SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'godwit') + (SELECT count(*) FROM pg_publication)
	+ (SELECT count(*) FROM pg_subscription) + (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_event_trigger)
	+ (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'godwit%') + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'godwit\_%')`

func TestAbortLeavesNothing(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 10)
	decided(t, b, postgres.Source) // both are fenced now
	for range 2 {
		if err := b.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]*migratetest.Server{"source": source, "target": target} {
			if n := migratetest.Text(t, s.Admin, left); n != "0" {
				t.Errorf("%s things are left on the %s", n, name)
			}
		}
	}
	migratetest.Exec(t, source.App, `INSERT INTO "order" (key) VALUES ('after')`)
	if n := migratetest.Text(t, target.Admin, `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`); n != "0" {
		t.Errorf("%s relations are left on the target", n)
	}
	if s, err := b.Status(t.Context()); err != nil || s.Phase != postgres.Idle || s.Truth != postgres.Source {
		t.Errorf("status %+v, %v", s, err)
	}
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Errorf("a sync after the abort: %v", err)
	}
}

// turn does by hand what migrate.Switch does.
func turn(t *testing.T, b *postgres.Writer, from string) {
	t.Helper()
	p, sequences := decided(t, b, from)
	to := map[string]string{postgres.Source: postgres.Target, postgres.Target: postgres.Source}[from]
	for i, step := range []func() error{
		func() error { return b.CatchUp(t.Context(), from, p, time.Now().Add(time.Minute)) },
		func() error { return b.Open(t.Context(), to, p, sequences) },
		func() error { return b.Reverse(t.Context(), from) },
		func() error { return b.Reverse(t.Context(), from) }, // again: nothing
	} {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

func TestFinish(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 10)
	if err := b.Finish(t.Context()); !errors.Is(err, postgres.ErrState) {
		t.Errorf("finish before the cutover: %v", err)
	}
	migratetest.Exec(t, source.App, "SELECT nextval('ticket'), nextval('ticket')")
	turn(t, b, postgres.Source)
	if err := b.Abort(t.Context()); !errors.Is(err, postgres.ErrTruthMoved) {
		t.Errorf("abort after the cutover: %v", err)
	}
	if err := b.Sync(t.Context(), nil); !errors.Is(err, postgres.ErrTruthMoved) {
		t.Errorf("sync after the cutover: %v", err)
	}
	if got := migratetest.Text(t, target.App, "SELECT nextval('ticket')"); got != "110" {
		t.Errorf("the sequence goes on with %s", got)
	}
	if s, err := b.Status(t.Context()); err != nil || s.Phase != postgres.Moved || s.Truth != postgres.Target {
		t.Errorf("status %+v, %v", s, err)
	}
	for range 2 {
		if err := b.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := migratetest.Text(t, target.Admin, left); n != "0" {
		t.Errorf("%s things are left on the target", n)
	}
	if n := migratetest.Text(t, source.Admin, "SELECT count(*) FROM pg_replication_slots"); n != "0" {
		t.Errorf("%s slots are left on the source", n)
	}
	if err := migratetest.Try(t.Context(), source.Admin, `BEGIN READ WRITE; UPDATE register SET last = 1; COMMIT`); err == nil {
		t.Error("the source accepts writes after finish")
	}
	migratetest.Exec(t, target.App, `INSERT INTO "order" (key) VALUES ('new')`, "CREATE TABLE more (id int)")
	if s, err := b.Status(t.Context()); err != nil || s.Phase != postgres.Finished || s.Truth != postgres.Target {
		t.Errorf("status %+v, %v", s, err)
	}
}

func TestVerifyFindsWhatDiffers(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 25_000)
	migratetest.Exec(t, target.Admin, `SET session_replication_role = replica; UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'godwit_guard'`)
	v, err := b.Verify(t.Context(), nil)
	if err != nil || len(v.Differing) != 0 || v.Rows < 25_000 || v.Chunks < 7 {
		t.Fatalf("equal sides: %+v, %v", v, err)
	}
	migratetest.Exec(t, target.Admin, `UPDATE "order" SET note = 'spoilt' WHERE key = 'old-12345'`, `DELETE FROM "order" WHERE key = 'old-20000'`,
		`INSERT INTO visit VALUES ('2026-12-24', 1, 'bad')`)
	v, err = b.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, d := range v.Differing {
		got[fmt.Sprint(d.Table, " ", d.From)] = fmt.Sprint(d.Rows)
	}
	want := map[string]string{`public."order" 10000`: "[(12345) (20000)]", "public.visit_2 ": "[(2026-12-24,1)]"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("differing %v, want %v", got, want)
	}
	migratetest.Exec(t, target.Admin, "SELECT setval('ticket', 99999)")
	if v, err = b.Verify(t.Context(), nil); err != nil || fmt.Sprint(v.Behind) != "[public.ticket]" {
		t.Errorf("behind %v, %v", v.Behind, err)
	}
	_ = source
}
