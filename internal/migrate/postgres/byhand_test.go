package postgres_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	local "godwit/internal/site/local/postgres"
)

// A person opens a source that was left fenced, in a fresh session of a superuser,
// with what godwit prints, and nothing of godwit is left there. So in every state.
func TestOpenedByHand(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, b *postgres.Writer){
		"after the cutover": func(t *testing.T, b *postgres.Writer) { turn(t, b, postgres.Source) },
		"finished": func(t *testing.T, b *postgres.Writer) {
			turn(t, b, postgres.Source)
			if err := b.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"inside a cutover":  func(t *testing.T, b *postgres.Writer) { decided(t, b, postgres.Source) },
		"synced":            func(*testing.T, *postgres.Writer) {},
		"before a cutover":  func(t *testing.T, b *postgres.Writer) { prepared(t, b, postgres.Source) },
		"behind its fence":  func(t *testing.T, b *postgres.Writer) { prepared(t, b, postgres.Source); fenceFor(t, b) },
		"before a rollback": func(t *testing.T, b *postgres.Writer) { turn(t, b, postgres.Source); prepared(t, b, postgres.Target) },
		"inside a rollback": func(t *testing.T, b *postgres.Writer) { turn(t, b, postgres.Source); decided(t, b, postgres.Target) },
		"after a rollback":  func(t *testing.T, b *postgres.Writer) { turn(t, b, postgres.Source); turn(t, b, postgres.Target) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, target, b := synced(t, 10)
			prepare(t, b)
			if open := name == "synced" || name == "before a cutover" || name == "after a rollback"; !open {
				if err := b.Evict(t.Context(), postgres.Source); err != nil {
					t.Fatal(err)
				}
				if err := migratetest.Try(t.Context(), source.App, `INSERT INTO "order" (key) VALUES ('too early')`); err == nil {
					t.Fatal("the source is not fenced: this proves nothing")
				}
			}
			b.Close()
			target.Stop() // it is gone for good
			pair := migratetest.Pair(t, source, source)
			script := pair.ByHand(postgres.Source)
			for range 2 { // again: nothing fails
				psql(t, source.Admin, script)
			}
			migratetest.Exec(t, source.App, `INSERT INTO "order" (key) VALUES ('by hand')`, "CREATE TABLE free (id int)")
			if n := migratetest.Text(t, source.Admin, left); n != "0" {
				t.Errorf("%s things are left on the source", n)
			}
		})
	}
}

// Who owns a database may make functions where a superuser's session looks for them,
// which fit better than the server's own. The script calls none of them.
func TestByHandCallsNobodysFunctions(t *testing.T) {
	t.Parallel()
	source, _, b := synced(t, 10)
	b.Close()
	migratetest.Exec(t, source.Admin, "GRANT CREATE ON SCHEMA public TO shop")
	for _, kind := range []string{"regclass", "text", "name"} {
		migratetest.Exec(t, source.App, `CREATE FUNCTION public.format(text, `+kind+`) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
			EXECUTE pg_catalog.format('CREATE ROLE pwned_%s SUPERUSER', '`+kind+`');
			RETURN pg_catalog.format($1, $2); END $$`)
	}
	pair := migratetest.Pair(t, source, source)
	psql(t, source.Admin, pair.ByHand(postgres.Source))
	if got := pwned(t, source.Admin); got != "" {
		t.Errorf("whoever owns the database has superusers: %s", got)
	}
}

// A role that was quicker than godwit may have made what the script calls. Nothing of
// it is called, and it stays.
func TestByHandCallsNoStrangersApparatus(t *testing.T) {
	t.Parallel()
	source := migratetest.StartServer(t)
	migratetest.Exec(t, source.Admin, "GRANT CREATE ON DATABASE shop TO shop")
	migratetest.Exec(t, source.App, "CREATE SCHEMA godwit", "CREATE TABLE godwit.fence (raised boolean)",
		"CREATE FUNCTION godwit.lower_fence() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE pwned_fence SUPERUSER; END $$",
		"CREATE FUNCTION godwit.makes() RETURNS text LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE pwned_state SUPERUSER; RETURN ''; END $$",
		"CREATE VIEW godwit.state AS SELECT 'copiers' AS key, godwit.makes() AS value UNION ALL SELECT 'keys', '[{\"table\": \"x\", \"oid\": 1, \"given\": \"f\", \"was\": \"DEFAULT\"}]'")
	pair := migratetest.Pair(t, source, source)
	psql(t, source.Admin, pair.ByHand(postgres.Source))
	if got := pwned(t, source.Admin); got != "" {
		t.Errorf("whoever made schema godwit has superusers: %s", got)
	}
	if n := migratetest.Text(t, source.Admin, "SELECT count(*) FROM pg_namespace WHERE nspname = 'godwit'"); n != "1" {
		t.Error("somebody's schema was dropped")
	}
}

// fenceFor raises a fence that ends by itself, later than this test.
func fenceFor(t *testing.T, b *postgres.Writer) {
	t.Helper()
	if _, _, err := fence(t, b, postgres.Source); err != nil {
		t.Fatal(err)
	}
}

// psql runs a script as a person would: every error ends it.
func psql(t *testing.T, url, script string) {
	t.Helper()
	inst, err := local.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath(filepath.Join(inst.Bin, "psql"))
	if err != nil {
		if path, err = exec.LookPath("psql"); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), path, "-v", "ON_ERROR_STOP=1", "-X", "-q", url)
	cmd.Env = append(cmd.Environ(), inst.Env...)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v: %s\n%s", err, out, script)
	}
}
