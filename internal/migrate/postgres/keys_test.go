package postgres_test

import (
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// keyless are tables that public schemas have: join tables, histories, versions of a
// schema. Each has a column n and one row.
var keyless = []string{
	"CREATE TABLE history (n int, note text)",
	"CREATE TABLE member (a int NOT NULL, n int NOT NULL, extra text, UNIQUE (a, n, extra), UNIQUE (n))",
	"CREATE TABLE maybe (n int UNIQUE, note text)",
	"CREATE TABLE \"odd'\nname\" (n int, note text)",
	"CREATE TABLE part (n int, note text) PARTITION BY LIST (note)", "CREATE TABLE leaf PARTITION OF part FOR VALUES IN ('x')",
	"CREATE TABLE partial (n int NOT NULL, note text); CREATE UNIQUE INDEX ON partial (n) WHERE n > 0; CREATE UNIQUE INDEX ON partial (abs(n))",
	"CREATE TABLE late (n int NOT NULL UNIQUE DEFERRABLE, note text)",
	"CREATE TABLE never (n int, note text); ALTER TABLE never REPLICA IDENTITY NOTHING",
	"CREATE TABLE chosen (n int NOT NULL, note text); CREATE UNIQUE INDEX choice ON chosen (n); ALTER TABLE chosen REPLICA IDENTITY USING INDEX choice",
}

var keylessTables = []string{"history", "member", "maybe", `"odd'` + "\n" + `name"`, "part", "partial", "late", "never", "chosen"}

// identities is how each table says which row is which.
func identities(t *testing.T, url string) string {
	t.Helper()
	return migratetest.Text(t, url, `SELECT string_agg(c.relname || ' ' || c.relreplident::text || coalesce((SELECT ' ' || i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident), ''), ', ' ORDER BY c.relname)
		FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace`)
}

func startKeyless(t *testing.T) (source, target *migratetest.Server, pair postgres.Pair) {
	t.Helper()
	source, target = migratetest.StartServer(t), migratetest.StartServer(t)
	for _, make := range keyless {
		migratetest.Exec(t, source.Admin, make)
	}
	for _, table := range keylessTables {
		columns := map[bool]string{true: "(a, n) VALUES (1, 1)", false: "(n, note) VALUES (1, 'x')"}[table == "member"]
		migratetest.Exec(t, source.Admin, "INSERT INTO "+table+" "+columns)
	}
	migratetest.Exec(t, source.Admin, "ANALYZE") // which counts their pages
	return source, target, migratetest.Pair(t, source, target)
}

// sums is what the n of all tables add up to.
func sums(t *testing.T, url string) string {
	t.Helper()
	var each []string
	for _, table := range keylessTables {
		each = append(each, "coalesce((SELECT sum(n) FROM "+table+"), 0)")
	}
	return migratetest.Text(t, url, "SELECT "+strings.Join(each, " + "))
}

// TestKeysByHand: one finding has one script, which a person runs.
func TestKeysByHand(t *testing.T) {
	t.Parallel()
	source, _, pair := startKeyless(t)
	migratetest.Exec(t, source.Admin, "CREATE TABLE lost (doc json)")
	findings, err := check(t, pair)
	if err != nil {
		t.Fatal(err)
	}
	if !found(findings, "error source: table public.lost has no primary key, and no replica identity would do: rows cannot be found by doc, json") {
		t.Errorf("findings %v", findings)
	}
	migratetest.Exec(t, source.Admin, "DROP TABLE lost")
	const first = "8 tables have no primary key and no replica identity"
	for _, f := range findings {
		if strings.Contains(f.Summary, first) {
			_, script, _ := strings.Cut(f.Mend, "yourself:\n")
			psql(t, source.Admin, script)
		}
	}
	if findings, err = check(t, pair); err != nil || len(findings) > 0 {
		t.Errorf("after the script: %v, %v", findings, err)
	}
}

// TestKeysByConsent: changes of such tables arrive, there and back, and afterwards each
// table is as it was, whichever way the migration ends.
func TestKeysByConsent(t *testing.T) {
	t.Parallel()
	source, target, pair := startKeyless(t)
	was := identities(t, source.Admin)
	pair.AutoKeys = true
	findings, err := check(t, pair)
	if err != nil || len(findings) != 1 || !found(findings, "warning source: 8 tables have no primary key: sync gives a replica identity, and the end takes it back: 1 by a unique index, 7 by the whole row (1 MB)") {
		t.Fatalf("findings %v, %v", findings, err)
	}
	change := func(url string) {
		t.Helper()
		for _, table := range keylessTables {
			migratetest.Exec(t, url, "UPDATE "+table+" SET n = n + 1")
		}
	}
	for _, end := range []string{"abort", "by hand", "finish"} {
		b := migratetest.Writer(t, pair)
		if err := b.Sync(t.Context(), nil); err != nil {
			t.Fatal(end, ": ", err)
		}
		if !strings.Contains(identities(t, source.Admin), "history f, ") {
			t.Errorf("%s: identities while it moves: %s", end, identities(t, source.Admin))
		}
		if findings, err := check(t, pair); err != nil || len(findings) > 0 {
			t.Errorf("%s: check of what is synced: %v, %v", end, findings, err)
		}
		change(source.Admin)
		follows(t, source.Admin, target.Admin)
		switch end {
		case "abort":
			if err := b.Abort(t.Context()); err != nil {
				t.Fatal(err)
			}
		case "by hand":
			psql(t, source.Admin, pair.ByHand(postgres.Source)) // it ends the writer's sessions
			if err := migratetest.Writer(t, pair).Abort(t.Context()); err != nil {
				t.Fatal(err)
			}
		case "finish":
			turn(t, b, postgres.Source)
			change(target.Admin)
			follows(t, target.Admin, source.Admin)
			if err := b.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := identities(t, target.Admin); got != was {
				t.Errorf("on the target it was %s and is %s", was, got)
			}
		}
		b.Close()
		if got := identities(t, source.Admin); got != was {
			t.Errorf("%s: it was %s and is %s", end, was, got)
		}
	}
}

// follows waits until one side has what the other has.
func follows(t *testing.T, from, to string) {
	t.Helper()
	want := sums(t, from)
	migratetest.Eventually(t, "the other side has "+want, func() bool { return sums(t, to) == want })
}

// TestUnlogged: an unlogged table stands in the way, or, where that is declared, moves
// without its rows, which each side has for itself.
func TestUnlogged(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 1)
	migratetest.Exec(t, source.App, "CREATE UNLOGGED TABLE rate_limits (n int)", "INSERT INTO rate_limits VALUES (1)")
	pair := migratetest.Pair(t, source, target)
	if findings, err := check(t, pair); err != nil || len(findings) != 1 || !found(findings, "error source: 1 table is unlogged") || !strings.Contains(findings[0].Mend, "ALTER TABLE public.rate_limits SET LOGGED;") {
		t.Errorf("undeclared: %v, %v", findings, err)
	}
	pair.EmptyUnlogged = true
	if findings, err := check(t, pair); err != nil || len(findings) != 1 || !found(findings, "warning source: 1 table is unlogged and will be empty") {
		t.Errorf("declared: %v, %v", findings, err)
	}
	b := migratetest.Writer(t, pair)
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	migratetest.Exec(t, source.App, "UPDATE rate_limits SET n = 2")
	for i, from := range []string{postgres.Source, postgres.Target} {
		turn(t, b, from)
		app := []string{target.App, source.App}[i]
		if got := migratetest.Text(t, app, "SELECT count(*) FROM rate_limits"); got != []string{"0", "1"}[i] {
			t.Errorf("after switch %d there are %s rows", i, got)
		}
		migratetest.Exec(t, app, "UPDATE rate_limits SET n = 3", "INSERT INTO register VALUES (9 + "+[]string{"1", "2"}[i]+")")
	}
	v, err := b.Verify(t.Context(), nil)
	if err != nil || len(v.Differing) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestKeysOfWhatIsRenamed: a table that got a key is another's name later, and the table
// of that name has a key of its own: each is as it was, or as somebody made it.
func TestKeysOfWhatIsRenamed(t *testing.T) {
	t.Parallel()
	source, _, pair := startKeyless(t)
	was := identities(t, source.Admin)
	pair.AutoKeys = true
	b := migratetest.Writer(t, pair)
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	migratetest.Exec(t, source.Admin, "ALTER TABLE public.history RENAME TO history_old", "CREATE TABLE public.history (n int)", "ALTER TABLE public.history REPLICA IDENTITY FULL", "ALTER TABLE maybe REPLICA IDENTITY NOTHING")
	changed := strings.NewReplacer("history d", "history f, history_old d", "maybe d", "maybe n")
	if err := b.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := identities(t, source.Admin); got != changed.Replace(was) {
		t.Errorf("it was %s and is %s", was, got)
	}
}
