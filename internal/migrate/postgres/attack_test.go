package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// mallory has a login and a schema of her own, nothing else. Whatever runs
// grab with more rights than hers makes a superuser that is named after the way.
var mallory = []string{
	"CREATE ROLE mallory LOGIN PASSWORD 'mallory'", "CREATE SCHEMA mallory AUTHORIZATION mallory",
}

// traps are what she makes, as herself.
var traps = []string{
	`CREATE FUNCTION mallory.grab(way text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		other text;
	BEGIN
		FOREACH other IN ARRAY ARRAY['SELECT 1', 'RESET ROLE', 'RESET SESSION AUTHORIZATION', 'SET ROLE godwit', 'SET SESSION AUTHORIZATION godwit'] LOOP
			BEGIN
				EXECUTE other;
				EXECUTE format('CREATE ROLE %I SUPERUSER', 'pwned_' || way);
				RETURN;
			EXCEPTION WHEN OTHERS THEN
			END;
		END LOOP;
	END $$`,
	// Nothing that changes something may be called immutable, but it may call what does.
	`CREATE FUNCTION mallory.lure(way text, value anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN PERFORM mallory.grab(way); RETURN value; END $$`,
	`CREATE FUNCTION mallory.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM mallory.grab('trigger'); RETURN NEW; END $$`,
	`CREATE DOMAIN mallory.number AS int CHECK (mallory.lure('domain', VALUE) IS NOT NULL)`,
	`CREATE TABLE mallory.many (id mallory.number PRIMARY KEY)`,
	`CREATE TABLE mallory.loot (id int PRIMARY KEY, note text CHECK (mallory.lure('constraint', note) IS NOT NULL),
		upper text GENERATED ALWAYS AS (mallory.lure('generated', note)) STORED, said text DEFAULT mallory.lure('default', 'x'::text))`,
	`CREATE INDEX ON mallory.loot (mallory.lure('expression', note))`,
	`CREATE INDEX ON mallory.loot (note) WHERE mallory.lure('predicate', 1) = 1`,
	`CREATE STATISTICS mallory.guess ON (mallory.lure('statistics', 1) + length(note)), note FROM mallory.loot`,
	`CREATE TRIGGER fire AFTER INSERT OR UPDATE OR DELETE ON mallory.loot FOR EACH ROW EXECUTE FUNCTION mallory.fire()`,
	`ALTER TABLE mallory.loot ENABLE ALWAYS TRIGGER fire`,
	`CREATE FUNCTION mallory.show(mallory.loot) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM mallory.grab('cast'); RETURN 'loot'; END $$`,
	`CREATE CAST (mallory.loot AS text) WITH FUNCTION mallory.show(mallory.loot)`,
	`CREATE MATERIALIZED VIEW mallory.seen AS SELECT mallory.lure('view', count(*)) FROM mallory.loot`,
	`CREATE FUNCTION mallory.less(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM mallory.grab('operator'); RETURN true; END $$`,
	`CREATE OPERATOR mallory.> (LEFTARG = int, RIGHTARG = int, FUNCTION = mallory.less)`,
	`CREATE POLICY hers ON mallory.loot USING (mallory.lure('policy', true))`,
	`ALTER TABLE mallory.loot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`,
	`INSERT INTO mallory.loot (id, note) SELECT g, 'note ' || g FROM generate_series(1, 20) g`,
	`INSERT INTO mallory.many SELECT generate_series(1, 11000)`, // more than a chunk
}

// pwned names the superusers that mallory has made.
func pwned(t *testing.T, url string) string {
	t.Helper()
	return migratetest.Text(t, url, `SELECT string_agg(rolname, ', ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'pwned%'`)
}

// A role without rights makes tables, and godwit moves them: nothing of what
// she made may run with more rights than she has, on either side.
func TestNoTableOwnerBecomesSuperuser(t *testing.T) {
	t.Parallel()
	noTableOwnerBecomesSuperuser(t)
}

// From Postgres 16 on rows are applied as the owners of their tables.
func TestNoTableOwnerBecomesSuperuserOn17(t *testing.T) {
	t.Parallel()
	noTableOwnerBecomesSuperuser(t, postgrestest.With(migratetest.Seventeen(t)))
}

// noTableOwnerBecomesSuperuser: options are the target's.
func noTableOwnerBecomesSuperuser(t *testing.T, options ...postgrestest.Option) {
	t.Helper()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t, options...)
	source.Fill(t, 10)
	migratetest.Exec(t, source.Admin, mallory...)
	her := strings.Replace(source.App, "shop:shop@", "mallory:mallory@", 1)
	migratetest.Exec(t, her, traps...)
	if got := pwned(t, source.Admin); got != "" {
		t.Fatalf("before godwit came: %s", got)
	}
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	none := func(after string) {
		t.Helper()
		for side, url := range map[string]string{"source": source.Admin, "target": target.Admin} {
			if got := pwned(t, url); got != "" {
				t.Errorf("after %s mallory has superusers on the %s: %s", after, side, got)
				migratetest.Exec(t, url, "DROP ROLE "+got)
			}
		}
	}
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	none("sync")
	migratetest.Exec(t, her, `UPDATE mallory.loot SET note = 'changed' WHERE id = 5`)
	verify := func() {
		t.Helper()
		if v, err := b.Verify(t.Context(), nil); err != nil || len(v.Differing) > 0 {
			t.Errorf("verify: %+v, %v", v, err)
		}
	}
	verify()
	none("verify")
	turn(t, b, postgres.Source)
	none("the cutover")
	migratetest.Exec(t, target.App, `UPDATE mallory.loot SET note = 'changed back' WHERE id = 6`)
	migratetest.Eventually(t, "the change is on the source", func() bool {
		return migratetest.Text(t, her, "SELECT note FROM mallory.loot WHERE id = 6") == "changed back" // not as a superuser, who would run it all
	})
	none("the way back")
	verify()
	none("verify after the cutover")
	if err := b.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	none("finish")
}

// Temporary views and tables come before the server's own where a function does not
// say otherwise: what guards a fence looks at none of them.
func TestTemporaryNamesOpenNothing(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	migratetest.Exec(t, source.Admin, mallory...)
	may := []string{"CREATE TEMPORARY TABLE pg_roles AS SELECT session_user AS rolname, true AS rolsuper, 1 AS oid",
		"CREATE TEMPORARY TABLE pg_namespace AS SELECT 'godwit' AS nspname, 1 AS nspowner"}
	const lock = " pg_locks AS SELECT 'advisory' AS locktype, true AS granted, pg_backend_pid() AS pid, 1735353463 AS classid"
	for name, made := range map[string]string{
		"tables that say that she may":       "CREATE TEMPORARY TABLE" + lock,
		"and a view that runs something too": "CREATE TEMPORARY VIEW" + lock + " WHERE mallory.lure('temporary', 1) = 1",
	} {
		if err := b.Unfence(t.Context(), postgres.Source); err != nil {
			t.Fatal(err)
		}
		her, err := pgx.Connect(t.Context(), strings.Replace(source.App, "shop:shop@", "mallory:mallory@", 1))
		if err != nil {
			t.Fatal(err)
		}
		defer her.Close(context.Background())
		for _, statement := range slices.Concat(traps[:2], may, []string{made, "DISCARD PLANS"}) {
			statement = strings.Replace(statement, "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
			if _, err := her.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		if err := b.Guard(t.Context(), postgres.Source); err != nil {
			t.Fatal(err)
		}
		if _, err := her.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS mallory.behind (id int)"); err == nil || !strings.Contains(err.Error(), "is fenced") {
			t.Errorf("%s: the fence lets her change definitions: %v", name, err)
		}
		if got := pwned(t, source.Admin); got != "" {
			t.Errorf("%s: mallory has superusers: %s", name, got)
		}
	}
}

// The apparatus is looked up by its name: who made it first must not have it used.
func TestSchemaOfAnotherIsRefused(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 1)
	migratetest.Exec(t, source.App, "CREATE SCHEMA godwit", "CREATE TABLE godwit.state (key text PRIMARY KEY, value text NOT NULL)",
		`CREATE FUNCTION godwit.grab() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE pwned_schema SUPERUSER; RETURN NEW; END $$`,
		`CREATE TRIGGER grab BEFORE INSERT ON godwit.state FOR EACH ROW EXECUTE FUNCTION godwit.grab()`)
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	findings, err := b.Check(t.Context())
	if err != nil || !found(findings, "error source: schema godwit") {
		t.Errorf("check: %+v, %v", findings, err)
	}
	if err := b.Sync(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "schema godwit") {
		t.Errorf("sync: %v", err)
	}
	if got := pwned(t, source.Admin); got != "" {
		t.Errorf("the owner of schema godwit has superusers: %s", got)
	}
}

// Check lists what the rows of others make run, and what nobody but a superuser makes.
func TestCheckListsWhatTablesRun(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 1)
	migratetest.Exec(t, source.Admin, mallory...)
	migratetest.Exec(t, strings.Replace(source.App, "shop:shop@", "mallory:mallory@", 1), traps...)
	migratetest.Exec(t, source.Admin, "CREATE FUNCTION made(int) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'int4abs'",
		"CREATE OPERATOR CLASS odd FOR TYPE int USING btree AS OPERATOR 1 <, FUNCTION 1 btint4cmp(int, int)", "CREATE EXTENSION hstore")
	findings, err := migratetest.Reader(t, migratetest.Pair(t, source, target)).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"warning source: cast from mallory.loot to text calls mallory.show(mallory.loot) of role mallory",
		"warning source: constraint loot_note_check on table mallory.loot calls mallory.lure(text,anyelement)",
		"warning source: default value for column said of table mallory.loot calls",
		"warning source: trigger fire on table mallory.loot calls mallory.fire()",
		"warning source: index mallory.loot_note_idx calls", "warning source: statistics object mallory.guess calls",
		"error source: function public.made(integer) can be made by a superuser only", "error source: operator class public.odd for access method btree",
	} {
		if !found(findings, want) {
			t.Errorf("no finding %q", want)
		}
	}
	for _, f := range findings {
		if strings.Contains(f.Summary, "hstore") {
			t.Errorf("of an extension: %s", f.Summary)
		}
	}
}
