package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/landscape"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

func TestCheckFindsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t, postgrestest.Config("wal_level", "replica"), postgrestest.Config("max_replication_slots", "3"),
		postgrestest.Config("max_slot_wal_keep_size", "1GB")), migratetest.StartServer(t)
	source.Fill(t, 1)
	migratetest.Exec(t, source.Admin, "CREATE TABLE keyless (id int)", "CREATE UNLOGGED TABLE hasty (id int PRIMARY KEY)",
		"SELECT lo_create(0)", "CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
		"CREATE EVENT TRIGGER nosy ON ddl_command_end EXECUTE FUNCTION ev()", "CREATE MATERIALIZED VIEW mv AS SELECT 1 AS one",
		"BEGIN; INSERT INTO keyless VALUES (1); PREPARE TRANSACTION 'half'",
		"CREATE SUBSCRIPTION foreigner CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false)",
		"CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
		"CREATE TRIGGER eager AFTER INSERT ON receipt FOR EACH ROW EXECUTE FUNCTION tr(); ALTER TABLE receipt ENABLE ALWAYS TRIGGER eager",
		"CREATE ROLE auditor; ALTER TABLE receipt ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON receipt TO auditor USING (true)",
		"CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE elsewhere (id int) SERVER far",
		"CREATE PUBLICATION godwit_other")
	migratetest.Exec(t, target.Admin, "CREATE TABLE there (id int)")
	stranger, err := pgx.Connect(t.Context(), source.App)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close(t.Context())
	pair := migratetest.Pair(t, source, target)
	pair.Target.FreeBytes = 1
	pair.Source.Peer = "127.0.0.1:1"
	pair.KeepWAL = 8 << 30
	findings, err := check(t, pair)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"error source: wal_level is replica", "error source: 0 of 3 replication slots", "warning source: max_slot_wal_keep_size is 1GB",
		"error source: 1 table has no primary key and no replica identity: updates would fail as soon as they are published: public.keyless", "error source: 1 table is unlogged, and rows of such are not replicated: public.hasty", "error source: 1 large objects",
		"error source: event trigger nosy", "warning source: materialized view public.mv", "error source: prepared transaction half",
		"error source: subscription foreigner", "warning source: trigger eager of public.receipt", "error target: role auditor is needed",
		"error source: public.elsewhere is a foreign table", "error source: publication godwit_other has a name",
		"error target: is not empty: public.there", "error target: 0 MB are free", "error target: its server can't connect to the source's",
		"warning source: a client from 127.0.0.1 as shop is connected",
	} {
		if !found(findings, want) {
			t.Errorf("no finding %q", want)
		}
	}
	for _, f := range findings {
		t.Logf("%s: %s; %s", f.Severity, f.Summary, f.Mend)
		if f.Mend == "" || f.File != "" {
			t.Errorf("finding %+v", f)
		}
	}
	for url, name := range map[string]string{source.Admin: "source", target.Admin: "target"} {
		if n := migratetest.Text(t, url, "SELECT count(*) FROM pg_subscription WHERE subname LIKE 'godwit%'"); n != "0" {
			t.Errorf("the check left %s subscriptions on the %s", n, name)
		}
	}
}

// check asks everything that stands against moving a pair.
func check(t *testing.T, pair postgres.Pair) (landscape.Findings, error) {
	findings, err := migratetest.Reader(t, pair).Check(t.Context())
	between, failure := postgres.Reachable(t.Context(), pair)
	return append(findings, between...), errors.Join(err, failure)
}

func found(all landscape.Findings, want string) bool {
	for _, f := range all {
		if strings.Contains(string(f.Severity)+" "+strings.TrimPrefix(f.Summary, `database "shop", `), want) {
			return true
		}
	}
	return false
}

func TestCheckFindsNothing(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 1)
	findings, err := check(t, migratetest.Pair(t, source, target))
	if err != nil || len(findings) > 0 {
		t.Errorf("%+v, %v", findings, err)
	}
}

func TestCheckOfServerThatIsAway(t *testing.T) {
	t.Parallel()
	source := migratetest.StartServer(t)
	pair := migratetest.Pair(t, source, source)
	pair.Target.Config.Port = 1
	pair.Target.Config.Fallbacks = nil
	findings, err := check(t, pair)
	if err != nil || !found(findings, "error target: can't be reached") {
		t.Errorf("%+v, %v", findings, err)
	}
}

// What a migration has left behind, and what has closed its way since, is found.
func TestCheckFindsWhatStands(t *testing.T) {
	t.Parallel()
	source, target, b := synced(t, 10)
	expect := func(want string) {
		t.Helper()
		findings, err := migratetest.Reader(t, migratetest.Pair(t, source, target)).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !found(findings, want) {
			t.Errorf("no finding %q in %+v", want, findings)
		}
	}
	changed := func(side string, url string) {
		t.Helper()
		migratetest.Exec(t, url, "ALTER TABLE receipt ADD COLUMN late int")
		expect("error " + side + ": database \"shop\", " + side + ": definitions changed since sync: table public.receipt changed")
		if s, err := b.Status(t.Context()); err != nil || !strings.Contains(s.Problem, "table public.receipt changed") {
			t.Errorf("status %+v, %v", s, err)
		}
		migratetest.Exec(t, url, "ALTER TABLE receipt DROP COLUMN late")
		if s, err := b.Status(t.Context()); err != nil || s.Problem != "" {
			t.Errorf("taken back, and the status is %+v, %v", s, err)
		}
	}
	changed("source", source.App)
	migratetest.Exec(t, source.App, "SELECT lo_create(4711)")
	if err := b.Prepare(t.Context(), postgres.Source); !errors.Is(err, postgres.ErrState) || !strings.Contains(err.Error(), "1 large objects") {
		t.Errorf("prepare with a large object: %v", err)
	}
	migratetest.Exec(t, source.App, "SELECT lo_unlink(4711)")
	prepared(t, b, postgres.Source)
	_, end, err := fence(t, b, postgres.Source)
	if err != nil {
		t.Fatal(err)
	}
	migratetest.Exec(t, source.App, "SELECT lo_create(4711)") // no guard stops that
	if _, err := b.Decide(t.Context(), postgres.Source, end); !errors.Is(err, postgres.ErrState) {
		t.Errorf("decided with a large object: %v", err)
	}
	if err := b.Unfence(t.Context(), postgres.Source); err != nil {
		t.Fatal(err)
	}
	migratetest.Exec(t, source.App, "SELECT lo_unlink(4711)")
	turn(t, b, postgres.Source)
	changed("target", target.App)
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("error source: it is fenced by an earlier migration")
}

// TestCheckKnowsItsOwn: nothing that godwit made is a finding, as after a sync that
// was killed.
func TestCheckKnowsItsOwn(t *testing.T) {
	t.Parallel()
	_, _, b := synced(t, 10)
	findings, err := b.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if strings.Contains(f.Summary, "godwit_") || strings.Contains(f.Summary, "godwit.") {
			t.Errorf("%+v", f)
		}
	}
}
