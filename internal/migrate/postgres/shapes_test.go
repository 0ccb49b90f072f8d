package postgres_test

import (
	"strings"
	"testing"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// TestShapesThatCannotMove: each statement makes what was seen to fail after a check
// that had found nothing: on the source itself, in the copy, or silently. What is alike
// and can move is not found.
func TestShapesThatCannotMove(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 1)
	cases := []struct{ name, make, want string }{
		// eulerto/wal2json#62, 2ndQuadrant/pglogical#149
		{"deferrable key", "CREATE TABLE pos (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, n int)", "error source: the key of table public.pos (public.pos_pkey) is deferrable or invalid"},
		{"deferrable key of a leaf", "CREATE TABLE whole (id int, k int) PARTITION BY LIST (k); CREATE TABLE leaf PARTITION OF whole (PRIMARY KEY (id) DEFERRABLE) FOR VALUES IN (1)",
			"error source: the key of table public.leaf (public.leaf_pkey)"},
		{"key that is not deferrable", "CREATE TABLE pos_good (id int PRIMARY KEY, n int UNIQUE DEFERRABLE)", ""},
		// planetscale/pgcopydb#28
		{"json under FULL", "CREATE TABLE ev (doc json, n int); ALTER TABLE ev REPLICA IDENTITY FULL", "error source: table with REPLICA IDENTITY FULL has public.ev.doc, json"},
		{"of json, under FULL", "CREATE DOMAIN note AS json; CREATE TYPE pair AS (a int, b xml); CREATE TABLE ev2 (a note, b json[], c pair, d pair[], e point); ALTER TABLE ev2 REPLICA IDENTITY FULL",
			"public.ev2.a, public.note|public.ev2.b, json[]|public.ev2.c, public.pair|public.ev2.d, public.pair[]|public.ev2.e, point"},
		{"what is equal, under FULL", "CREATE TYPE temper AS ENUM ('a'); CREATE TYPE fine AS (a int, b text); CREATE DOMAIN age AS int; CREATE TABLE ev_good (a varchar(9), b jsonb, c cidr, d temper, e fine, f int4range, " +
			"g age, h text[], i temper[], j bpchar, k uuid, l bytea, m tsvector, n name, o regclass, p bit varying, q macaddr, r timetz, s int4multirange); ALTER TABLE ev_good REPLICA IDENTITY FULL", ""},
		{"json with a key", "CREATE TABLE ev_keyed_good (id int PRIMARY KEY, doc json, p point)", ""},
		// PostgreSQL's regression database
		{"column of a parent that came later", "CREATE TABLE p (a int PRIMARY KEY); CREATE TABLE c (b int, PRIMARY KEY (a)) INHERITS (p); ALTER TABLE p ADD d int", "error source: table public.c inherits columns"},
		{"two parents", "CREATE TABLE pa (a int); CREATE TABLE pb (b int, a int); CREATE TABLE both_good (own int PRIMARY KEY) INHERITS (pa, pb); ALTER TABLE pa REPLICA IDENTITY FULL; ALTER TABLE pb REPLICA IDENTITY FULL", ""},
		{"columns as made", "CREATE TABLE q (a int PRIMARY KEY, d int); CREATE TABLE r_good (b int, PRIMARY KEY (a)) INHERITS (q); ALTER TABLE r_good ADD e int", ""},
		{"partition of another order", "CREATE TABLE parts (a int, b int) PARTITION BY LIST (a); CREATE TABLE part_good (b int, a int PRIMARY KEY); ALTER TABLE parts ATTACH PARTITION part_good FOR VALUES IN (1)", ""},
		{"names of roles", "CREATE TABLE who (id int PRIMARY KEY, r regrole, a aclitem[])", "error source: column public.who.a, aclitem[], names roles|error source: column public.who.r, regrole, names roles"},
		{"names of objects", "CREATE TABLE what (id int PRIMARY KEY, c regclass)", "warning source: column public.what.c, regclass, names objects"},
		{"check that rows violate", "CREATE TABLE odd (n int PRIMARY KEY); INSERT INTO odd VALUES (-1); ALTER TABLE odd ADD CONSTRAINT plus CHECK (n > 0) NOT VALID", "error source: constraint plus of public.odd is NOT VALID"},
		{"check that is validated", "CREATE TABLE even_good (n int PRIMARY KEY); ALTER TABLE even_good ADD CONSTRAINT plus CHECK (n > 0) NOT VALID; ALTER TABLE even_good VALIDATE CONSTRAINT plus", ""},
		// productdevbook/mavi#265, planetscale/migration-scripts#56
		{"row security of a role", "CREATE ROLE tenant LOGIN; CREATE TABLE room (id int PRIMARY KEY, of text); ALTER TABLE room ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON room USING (of = current_setting('app.tenant')); GRANT SELECT ON room TO tenant",
			"error source: row security of table public.room binds others"},
		{"row security of all", "CREATE TABLE room_good (id int PRIMARY KEY); ALTER TABLE room_good ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; GRANT SELECT ON room_good TO tenant", ""},
		{"row security of nobody", "CREATE TABLE room2_good (id int PRIMARY KEY); ALTER TABLE room2_good ENABLE ROW LEVEL SECURITY", ""},
		// borzoni's and Debezium's users
		{"another consumer", "SELECT pg_create_logical_replication_slot('dbz', 'pgoutput')", "warning source: somebody reads changes from replication slot dbz"},
	}
	for _, c := range cases {
		migratetest.Exec(t, source.Admin, c.make)
	}
	findings, err := migratetest.Reader(t, migratetest.Pair(t, source, target)).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for want := range strings.SplitSeq(c.want, "|") {
			if want != "" && !found(findings, want) {
				t.Errorf("%s: no finding %q", c.name, want)
			}
		}
	}
	for _, f := range findings {
		if strings.Contains(f.Summary, "_good") && !strings.Contains(f.Summary, "_good.o, regclass") {
			t.Errorf("found without need: %s", f.Summary)
		}
	}
}

// TestVerifyKnowsShapes: what was said to differ, and did not (cases E3 to E5).
func TestVerifyKnowsShapes(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 10)
	migratetest.Exec(t, source.App, "CREATE TABLE t (a int, b int, c box, PRIMARY KEY (a, b) INCLUDE (c)); INSERT INTO t SELECT g, g, box(point(g, g), point(0, 0)) FROM generate_series(1, 20) g",
		"CREATE SEQUENCE tick MINVALUE 1 MAXVALUE 10 CYCLE; SELECT nextval('tick') FROM generate_series(1, 9)", "CREATE SEQUENCE high START 10000000")
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	turn(t, b, postgres.Source)
	migratetest.Exec(t, target.App, "SELECT nextval('tick') FROM generate_series(1, 2)", "SELECT setval('high', 5000)", "UPDATE t SET c = box(point(1, 1), point(2, 2)) WHERE a = 3")
	v, err := b.Verify(t.Context(), nil)
	if err != nil || len(v.Differing)+len(v.Behind) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	migratetest.Exec(t, target.App, "SELECT setval('order_id_seq', 3)")
	if v, err = b.Verify(t.Context(), nil); err != nil || len(v.Behind) != 1 {
		t.Errorf("a sequence that gives out what was given out already: %+v, %v", v, err)
	}
}
