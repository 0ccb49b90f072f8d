package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// sortedPair is a source whose texts sort by a language and a target where they sort by
// their bytes, with 25,000 keys in both cases.
func sortedPair(t *testing.T) (source, target string, pair postgres.Pair) {
	t.Helper()
	s, o := migratetest.StartServer(t), migratetest.StartServer(t)
	migratetest.Exec(t, s.Admin, "CREATE DATABASE words OWNER shop TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'")
	migratetest.Exec(t, o.Admin, "CREATE DATABASE words OWNER shop")
	source, target = strings.Replace(s.Admin, "/shop?", "/words?", 1), strings.Replace(o.Admin, "/shop?", "/words?", 1)
	migratetest.Exec(t, source, "CREATE TABLE word (k text, n int, PRIMARY KEY (n, k)); ALTER TABLE word OWNER TO shop", "CREATE TABLE one (k varchar(20) PRIMARY KEY); ALTER TABLE one OWNER TO shop",
		"INSERT INTO word SELECT CASE g % 2 WHEN 0 THEN 'key ' ELSE 'KEY-' END || g, 1 FROM generate_series(1, 25000) g", "INSERT INTO one SELECT k FROM word WHERE length(k) < 8")
	pair = migratetest.Pair(t, s, o)
	pair.Database, pair.Source, pair.Target = "words", migratetest.Side(t, source), migratetest.Side(t, target)
	return source, target, pair
}

// TestVerifyWhereKeysSortOtherwise: what is equal is equal, also while rows are written,
// and what differs is named: AlexanderKitchin/kitchen_sync#99, percona-toolkit#228.
func TestVerifyWhereKeysSortOtherwise(t *testing.T) {
	t.Parallel()
	source, target, pair := sortedPair(t)
	b := migratetest.Writer(t, pair)
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan int)
	conn := connect(t, source)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			_, _ = conn.Exec(ctx, "UPDATE word SET n = n + 1 WHERE k = 'key ' || 2 * $1::int", 1+n%12000) // its error is that it is over
		}
		written <- n
	}()
	for range 3 {
		v, err := b.Verify(t.Context(), nil)
		if err != nil || len(v.Differing) > 0 || v.Rows < 25_000 {
			t.Errorf("while rows are written: %+v, %v", v, err)
		}
	}
	stop()
	if n := <-written; n < 100 {
		t.Errorf("only %d rows were written meanwhile", n)
	}
	migratetest.Exec(t, target, `SET session_replication_role = replica; UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'godwit_guard'`)
	migratetest.Exec(t, target, "DELETE FROM word WHERE k = 'KEY-77'", "INSERT INTO one VALUES ('extra')", "UPDATE word SET n = 9999 WHERE k = 'KEY-99'")
	v, err := b.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, d := range v.Differing {
		rows = append(rows, d.Rows...)
	}
	slices.Sort(rows)
	if want := []string{"(1,KEY-77)", "(1,KEY-99)", "(9999,KEY-99)", "(extra)"}; !slices.Equal(rows, want) {
		t.Errorf("differing rows %q, want %q", rows, want)
	}
}

// TestTextsThatSortOtherwise: they are found; and where that keeps rows from their
// partitions, before anything is copied.
func TestTextsThatSortOtherwise(t *testing.T) {
	t.Parallel()
	source, _, pair := sortedPair(t)
	findings, err := check(t, pair)
	if err != nil || len(findings) != 1 || !strings.Contains(findings[0].Summary, "target: collation is C/C.UTF-8, the source's is ICU en-US: texts may sort differently") {
		t.Errorf("findings %v, %v", findings, err)
	}
	migratetest.Exec(t, source, `CREATE TABLE guest (n text PRIMARY KEY) PARTITION BY RANGE (n)`, `CREATE TABLE guest_a PARTITION OF guest FOR VALUES FROM ('a') TO ('z')`,
		`CREATE TABLE fine (n text COLLATE "C" PRIMARY KEY) PARTITION BY RANGE (n)`, "CREATE TABLE room (n text PRIMARY KEY) PARTITION BY LIST (n)")
	findings, err = check(t, pair)
	if err != nil || len(findings) != 2 || !strings.Contains(findings[1].Summary, "target: partitions are bounded by texts, which sort differently here: rows could not be copied into public.guest") {
		t.Errorf("findings %v, %v", findings, err)
	}
}
