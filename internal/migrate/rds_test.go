package migrate_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// startMoveToRDS moves from a server with a superuser, Postgres 15, to one
// without, Postgres 17.
func startMoveToRDS(t *testing.T, rows int) *move {
	t.Helper()
	m := &move{source: migratetest.StartServer(t), target: migratetest.StartRDS(t), gate: migratetest.NewGate(migrate.Source)}
	m.source.Fill(t, rows)
	m.writer = migratetest.Writer(t, migratetest.Pair(t, m.source, m.target))
	m.journal = openJournal(t, filepath.Join(t.TempDir(), "store"))
	return m
}

// TestMoveToRDS is TestSwitchThereAndBackUnderLoad without a superuser on the target.
func TestMoveToRDS(t *testing.T) {
	m := startMoveToRDS(t, 2000)
	migratetest.Exec(t, m.source.Admin, "CREATE EXTENSION pg_trgm", `CREATE INDEX ON "order" USING gin (note gin_trgm_ops)`)
	migratetest.Exec(t, m.source.Admin, "CREATE SCHEMA extensions", "COMMENT ON SCHEMA extensions IS 'of others'", "CREATE EXTENSION hstore SCHEMA extensions",
		`CREATE TABLE extensions.tagged (id int PRIMARY KEY, tags extensions.hstore)`, `ALTER TABLE extensions.tagged OWNER TO shop`)
	migratetest.Exec(t, m.source.Admin, "CREATE SCHEMA back AUTHORIZATION shop", `CREATE TABLE back."Odd" (id int PRIMARY KEY)`, `ALTER TABLE back."Odd" OWNER TO shop`)
	if found := errorsIn(t, m); len(found) > 0 {
		t.Fatalf("check: %v", found)
	}
	if super := migratetest.Text(t, m.target.Admin, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"); super != "false" {
		t.Fatalf("the master is a superuser: %s", super)
	}
	m.load(t, 8, 32*time.Millisecond)
	m.more(t, 50)
	m.sync(t)
	m.sync(t) // again: nothing is left to do
	for range 2 {
		for _, from := range []migrate.Side{migrate.Source, migrate.Target} {
			report := m.shift(t, from)
			if report.Status != journal.Done || len(report.Findings) > 0 {
				t.Fatalf("switch from %s: %s %+v", from, report.Status, report.Findings)
			}
			t.Logf("switch from %s: write pause %v", from, report.WritePause)
			m.more(t, 100)
		}
	}
	m.audit(t)
	if report := m.shift(t, migrate.Source); report.Status != journal.Done {
		t.Fatalf("the last cutover: %+v", report)
	}
	if err := m.writer.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	migratetest.Exec(t, m.target.App, `INSERT INTO "order" (key) VALUES ('after')`, "CREATE TABLE mine (id int PRIMARY KEY)")
	if err := migratetest.Try(t.Context(), m.source.App, `INSERT INTO "order" (key) VALUES ('after')`); err == nil {
		t.Error("finished, and yet the source accepts writes")
	}
	for what, query := range map[string]string{
		"schema godwit":  "SELECT count(*) FROM pg_namespace WHERE nspname = 'godwit'",
		"slots":          "SELECT count(*) FROM pg_replication_slots",
		"subscriptions":  "SELECT count(*) FROM pg_subscription",
		"publications":   "SELECT count(*) FROM pg_publication",
		"roles":          "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'godwit%' AND NOT rolsuper",
		"foreign owners": "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('public', 'back') AND relname !~ 'trgm' AND relowner <> 'shop'::regrole",
	} {
		if n := migratetest.Text(t, m.target.Root, query); n != "0" {
			t.Errorf("%s of godwit left on the target: %s", what, n)
		}
	}
}

// TestFenceOnRDS: the target's fence refuses its owner and its master alike.
func TestFenceOnRDS(t *testing.T) {
	t.Parallel()
	m := startMoveToRDS(t, 20)
	m.sync(t)
	for who, url := range map[string]string{"the owner": m.target.App, "the master": m.target.Admin, "a superuser": m.target.Root} {
		for _, write := range []string{`INSERT INTO "order" (key) VALUES ('x')`, `UPDATE register SET last = 1`, `DELETE FROM visit`, `TRUNCATE receipt CASCADE`} {
			if err := migratetest.Try(t.Context(), url, "BEGIN READ WRITE; "+write+"; COMMIT"); err == nil {
				t.Errorf("%s can %s behind the fence", who, write)
			}
		}
	}
	if err := m.writer.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := migratetest.Text(t, m.target.Root, "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('public', 'godwit')"); n != "0" {
		t.Errorf("aborted, and %s relations are left on the target", n)
	}
	m.sync(t) // and again
}

// TestCheckKnowsRDS: each right that the master may lack is found by name.
func TestCheckKnowsRDS(t *testing.T) {
	t.Parallel()
	m := startMoveToRDS(t, 1)
	for _, c := range []struct{ take, give, want string }{
		{"ALTER ROLE master NOCREATEROLE", "ALTER ROLE master CREATEROLE", "may not make roles"},
		{"REVOKE rds_replication FROM master; ALTER ROLE master NOREPLICATION", "GRANT rds_replication TO master; ALTER ROLE master REPLICATION", "may not replicate"},
		{"REVOKE pg_signal_backend FROM rds_superuser", "GRANT pg_signal_backend TO rds_superuser", "may not end sessions"},
		{"REVOKE pg_monitor FROM rds_superuser", "GRANT pg_monitor TO rds_superuser", "does not see what other sessions do"},
		{"REVOKE EXECUTE ON FUNCTION pg_replication_origin_advance(text, pg_lsn) FROM rds_superuser",
			"GRANT EXECUTE ON FUNCTION pg_replication_origin_advance(text, pg_lsn) TO rds_superuser", "may not use replication origins"},
		{"ALTER DATABASE shop OWNER TO rds_superuser; REVOKE rds_superuser FROM master; GRANT pg_monitor, pg_signal_backend, pg_create_subscription TO master",
			"ALTER DATABASE shop OWNER TO master; GRANT rds_superuser TO master", "does not own the database"},
		{"REVOKE shop FROM master CASCADE", "GRANT shop TO master WITH INHERIT TRUE, SET TRUE", "is no member of shop"},
	} {
		migratetest.Exec(t, m.target.Root, c.take)
		found := errorsIn(t, m)
		if !strings.Contains(strings.Join(found, "\n"), c.want) {
			t.Errorf("after %s: found %q, want %q", c.take, found, c.want)
		}
		migratetest.Exec(t, m.target.Root, c.give)
	}
	if found := errorsIn(t, m); len(found) > 0 {
		t.Errorf("all given back: %v", found)
	}
}

func errorsIn(t *testing.T, m *move) []string {
	t.Helper()
	all, err := migratetest.Reader(t, migratetest.Pair(t, m.source, m.target)).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, f := range all {
		if f.Severity == landscape.Error {
			texts = append(texts, f.Summary)
		}
	}
	return texts
}

// TestMasterPasswordChanges: RDS gives its master another password every week,
// and the way back, which was made with the old one, goes on.
func TestMasterPasswordChanges(t *testing.T) {
	t.Parallel()
	m := startMoveToRDS(t, 20)
	m.sync(t)
	if report := m.shift(t, migrate.Source); report.Status != journal.Done {
		t.Fatalf("cutover: %+v", report)
	}
	streams := "SELECT count(*) FROM pg_replication_slots WHERE active"
	migratetest.Eventually(t, "the way back streams", func() bool { return migratetest.Text(t, m.target.Root, streams) == "1" })
	migratetest.Exec(t, m.target.Root, "ALTER ROLE "+migratetest.Master+" PASSWORD 'another'",
		"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
	migratetest.Exec(t, m.target.App, `INSERT INTO "order" (key) VALUES ('with another password')`)
	m.target.Admin = strings.Replace(m.target.Admin, ":master@", ":another@", 1)
	m.writer = migratetest.Writer(t, migratetest.Pair(t, m.source, m.target))
	for range 2 { // it repeats safely
		if err := migrate.Rejoin(t.Context(), []*postgres.Writer{m.writer}); err != nil {
			t.Fatal(err)
		}
	}
	migratetest.Eventually(t, "the row is on the source", func() bool {
		return migratetest.Text(t, m.source.Admin, `SELECT count(*) FROM "order" WHERE key = 'with another password'`) == "1"
	})
	if report := m.shift(t, migrate.Target); report.Status != journal.Done {
		t.Fatalf("rollback: %+v", report)
	}
}
