package postgres_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	localpostgres "godwit/internal/site/local/postgres"
)

// made is one of everything, as a database has it at its sync.
const made = `CREATE ROLE clerk; CREATE ROLE guest;
CREATE TABLE base (id int PRIMARY KEY, n int, t text); CREATE TABLE twin (id int PRIMARY KEY, n int, t text); CREATE TABLE heir (x int) INHERITS (base);
CREATE TABLE whole (id int, k int) PARTITION BY LIST (k); CREATE TABLE leaf PARTITION OF whole FOR VALUES IN (1);
CREATE INDEX by_n ON base (n); CREATE VIEW seen AS SELECT n FROM base; CREATE MATERIALIZED VIEW kept AS SELECT n FROM base;
CREATE SEQUENCE ticks; CREATE FUNCTION plus(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1'; CREATE PROCEDURE go() LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER pulled BEFORE INSERT ON base FOR EACH ROW EXECUTE FUNCTION fired();
CREATE FUNCTION heard() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER ear ON ddl_command_end EXECUTE FUNCTION heard(); ALTER EVENT TRIGGER ear DISABLE;
CREATE POLICY own ON base USING (n = 1); CREATE RULE way AS ON UPDATE TO twin DO ALSO SELECT 1;
CREATE TYPE pair AS (a int, b int); CREATE TYPE mood2 AS ENUM ('sad'); CREATE TYPE span AS RANGE (subtype = int4); CREATE DOMAIN age AS int CHECK (VALUE > 0);
CREATE AGGREGATE most (int) (sfunc = int4larger, stype = int); CREATE CAST (text AS age) WITH INOUT; CREATE COLLATION plain FROM "C";
CREATE CONVERSION conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8; CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq);
CREATE OPERATOR FAMILY fam USING btree; CREATE OPERATOR CLASS cls FOR TYPE int USING btree FAMILY fam AS OPERATOR 1 <, FUNCTION 1 btint4cmp(int, int);
CREATE STATISTICS stat (dependencies) ON n, t FROM base; CREATE TEXT SEARCH CONFIGURATION conf (COPY = simple); CREATE TEXT SEARCH DICTIONARY dict (TEMPLATE = simple);
CREATE TEXT SEARCH PARSER pars (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype); CREATE TEXT SEARCH TEMPLATE templ (LEXIZE = dsimple_lexize);
CREATE EXTENSION pg_trgm; CREATE EXTENSION postgres_fdw; CREATE FOREIGN DATA WRAPPER fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
CREATE USER MAPPING FOR clerk SERVER far; CREATE FOREIGN TABLE there (id int) SERVER far; CREATE SCHEMA other; CREATE PUBLICATION news FOR TABLE base; CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
CREATE LANGUAGE plpgsql2 HANDLER plpgsql_call_handler; CREATE TRANSFORM FOR int LANGUAGE plpgsql2 (FROM SQL WITH FUNCTION prsd_lextype(internal));`

// ddl has for each kind of statement one that changes what there is; "" where that
// changes nothing that a statement could mean, with the reason.
var ddl = map[string]string{
	"ALTER ACCESS METHOD": "", "ALTER CAST": "", "ALTER CONSTRAINT": "", "ALTER TRANSFORM": "", "CREATE CONSTRAINT": "", "DROP CONSTRAINT": "", "CREATE ROUTINE": "", // the server knows no such statement
	"REINDEX": "", "REFRESH MATERIALIZED VIEW": "", // the same rows again
	"ALTER LARGE OBJECT":  "",                                                                 // large objects are an error of check, and of each switch
	"CREATE SUBSCRIPTION": "", "ALTER SUBSCRIPTION": "", "DROP SUBSCRIPTION": "", "LOGIN": "", // rows that arrive from elsewhere are an error of check
	"SECURITY LABEL": "", // no provider of labels can be had here: tried by TestSecurityLabel where one is

	"ALTER AGGREGATE": "ALTER AGGREGATE most(int) RENAME TO least", "CREATE AGGREGATE": "CREATE AGGREGATE sum2 (int) (sfunc = int4pl, stype = int)", "DROP AGGREGATE": "DROP AGGREGATE most(int)",
	"ALTER COLLATION": "ALTER COLLATION plain RENAME TO fancy", "CREATE COLLATION": `CREATE COLLATION c2 FROM "C"`, "DROP COLLATION": "DROP COLLATION plain",
	"ALTER CONVERSION": "ALTER CONVERSION conv RENAME TO conv2", "CREATE CONVERSION": "CREATE CONVERSION c2 FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8", "DROP CONVERSION": "DROP CONVERSION conv",
	"ALTER DEFAULT PRIVILEGES": "ALTER DEFAULT PRIVILEGES FOR ROLE clerk GRANT SELECT ON TABLES TO guest",
	"ALTER DOMAIN":             "ALTER DOMAIN age ADD CHECK (VALUE < 200)", "CREATE DOMAIN": "CREATE DOMAIN d2 AS text", "DROP DOMAIN": "DROP DOMAIN age CASCADE",
	"ALTER EVENT TRIGGER": "ALTER EVENT TRIGGER ear ENABLE ALWAYS", "CREATE EVENT TRIGGER": "CREATE EVENT TRIGGER e2 ON sql_drop EXECUTE FUNCTION heard()", "DROP EVENT TRIGGER": "DROP EVENT TRIGGER ear",
	"ALTER EXTENSION": "ALTER EXTENSION pg_trgm SET SCHEMA other", "CREATE EXTENSION": "CREATE EXTENSION citext", "DROP EXTENSION": "DROP EXTENSION pg_trgm",
	"ALTER FOREIGN DATA WRAPPER": "ALTER FOREIGN DATA WRAPPER fdw OPTIONS (a '1')", "CREATE FOREIGN DATA WRAPPER": "CREATE FOREIGN DATA WRAPPER f2", "DROP FOREIGN DATA WRAPPER": "DROP FOREIGN DATA WRAPPER fdw",
	"ALTER FOREIGN TABLE": "ALTER FOREIGN TABLE there OPTIONS (ADD table_name 'x')", "CREATE FOREIGN TABLE": "CREATE FOREIGN TABLE t2 (id int) SERVER far", "DROP FOREIGN TABLE": "DROP FOREIGN TABLE there",
	"ALTER FUNCTION": "ALTER FUNCTION plus(int) STRICT", "CREATE FUNCTION": "CREATE OR REPLACE FUNCTION plus(int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 2'", "DROP FUNCTION": "DROP FUNCTION plus(int)",
	"ALTER INDEX": "ALTER INDEX by_n RENAME TO by_n2", "CREATE INDEX": "CREATE INDEX i2 ON base (t)", "DROP INDEX": "DROP INDEX by_n",
	"ALTER LANGUAGE": "ALTER LANGUAGE plpgsql2 RENAME TO plpgsql3", "CREATE LANGUAGE": "CREATE LANGUAGE l2 HANDLER plpgsql_call_handler", "DROP LANGUAGE": "DROP LANGUAGE plpgsql2 CASCADE",
	"ALTER MATERIALIZED VIEW": "ALTER MATERIALIZED VIEW kept RENAME n TO m", "CREATE MATERIALIZED VIEW": "CREATE MATERIALIZED VIEW k2 AS SELECT 1 AS one", "DROP MATERIALIZED VIEW": "DROP MATERIALIZED VIEW kept",
	"ALTER OPERATOR": "ALTER OPERATOR === (int, int) SET (RESTRICT = eqsel)", "CREATE OPERATOR": "CREATE OPERATOR ==== (leftarg = int, rightarg = int, function = int4eq)", "DROP OPERATOR": "DROP OPERATOR === (int, int)",
	"ALTER OPERATOR CLASS": "ALTER OPERATOR CLASS cls USING btree RENAME TO cls2", "CREATE OPERATOR CLASS": "CREATE OPERATOR CLASS o2 FOR TYPE int USING hash AS OPERATOR 1 =", "DROP OPERATOR CLASS": "DROP OPERATOR CLASS cls USING btree",
	"ALTER OPERATOR FAMILY": "ALTER OPERATOR FAMILY fam USING btree ADD OPERATOR 1 < (int8, int8), FUNCTION 1 btint8cmp(int8, int8)", "CREATE OPERATOR FAMILY": "CREATE OPERATOR FAMILY f2 USING hash", "DROP OPERATOR FAMILY": "DROP OPERATOR FAMILY fam USING btree",
	"ALTER POLICY": "ALTER POLICY own ON base USING (n = 2)", "CREATE POLICY": "CREATE POLICY p2 ON base USING (true)", "DROP POLICY": "DROP POLICY own ON base",
	"ALTER PROCEDURE": "ALTER PROCEDURE go() SECURITY DEFINER", "CREATE PROCEDURE": "CREATE PROCEDURE p2() LANGUAGE sql AS 'SELECT 1'", "DROP PROCEDURE": "DROP PROCEDURE go()",
	"ALTER PUBLICATION": "ALTER PUBLICATION news ADD TABLE twin", "CREATE PUBLICATION": "CREATE PUBLICATION p2", "DROP PUBLICATION": "DROP PUBLICATION news",
	"ALTER ROUTINE": "ALTER ROUTINE plus(int) LEAKPROOF", "DROP ROUTINE": "DROP ROUTINE go()",
	"ALTER RULE": "ALTER RULE way ON twin RENAME TO way2", "CREATE RULE": "CREATE RULE r2 AS ON INSERT TO base DO ALSO SELECT 1", "DROP RULE": "DROP RULE way ON twin",
	"ALTER SCHEMA": "ALTER SCHEMA other RENAME TO other2", "CREATE SCHEMA": "CREATE SCHEMA s2", "DROP SCHEMA": "DROP SCHEMA other",
	"ALTER SEQUENCE": "ALTER SEQUENCE ticks CACHE 5", "CREATE SEQUENCE": "CREATE SEQUENCE s2", "DROP SEQUENCE": "DROP SEQUENCE ticks",
	"ALTER SERVER": "ALTER SERVER far OPTIONS (host 'x')", "CREATE SERVER": "CREATE SERVER s2 FOREIGN DATA WRAPPER fdw", "DROP SERVER": "DROP SERVER far CASCADE",
	"ALTER STATISTICS": "ALTER STATISTICS stat SET STATISTICS 7", "CREATE STATISTICS": "CREATE STATISTICS s2 ON n, t FROM base", "DROP STATISTICS": "DROP STATISTICS stat",
	"ALTER TABLE": "ALTER TABLE base FORCE ROW LEVEL SECURITY", "CREATE TABLE": "CREATE TABLE t2 (id int)", "DROP TABLE": "DROP TABLE leaf", "CREATE TABLE AS": "CREATE TABLE t2 AS SELECT 1 AS one", "SELECT INTO": "SELECT 1 AS one INTO t2",
	"ALTER TEXT SEARCH CONFIGURATION": "ALTER TEXT SEARCH CONFIGURATION conf DROP MAPPING FOR word", "CREATE TEXT SEARCH CONFIGURATION": "CREATE TEXT SEARCH CONFIGURATION c2 (COPY = simple)", "DROP TEXT SEARCH CONFIGURATION": "DROP TEXT SEARCH CONFIGURATION conf",
	"ALTER TEXT SEARCH DICTIONARY": "ALTER TEXT SEARCH DICTIONARY dict (Accept = false)", "CREATE TEXT SEARCH DICTIONARY": "CREATE TEXT SEARCH DICTIONARY d2 (TEMPLATE = simple)", "DROP TEXT SEARCH DICTIONARY": "DROP TEXT SEARCH DICTIONARY dict",
	"ALTER TEXT SEARCH PARSER": "ALTER TEXT SEARCH PARSER pars RENAME TO pars2", "CREATE TEXT SEARCH PARSER": "CREATE TEXT SEARCH PARSER p2 (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)", "DROP TEXT SEARCH PARSER": "DROP TEXT SEARCH PARSER pars",
	"ALTER TEXT SEARCH TEMPLATE": "ALTER TEXT SEARCH TEMPLATE templ RENAME TO templ2", "CREATE TEXT SEARCH TEMPLATE": "CREATE TEXT SEARCH TEMPLATE t2 (LEXIZE = dsimple_lexize)", "DROP TEXT SEARCH TEMPLATE": "DROP TEXT SEARCH TEMPLATE templ",
	"ALTER TRIGGER": "ALTER TRIGGER pulled ON base RENAME TO pushed", "CREATE TRIGGER": "CREATE TRIGGER t2 AFTER DELETE ON base FOR EACH ROW EXECUTE FUNCTION fired()", "DROP TRIGGER": "DROP TRIGGER pulled ON base",
	"ALTER TYPE": "ALTER TYPE pair ADD ATTRIBUTE c int", "CREATE TYPE": "CREATE TYPE t2 AS (a int)", "DROP TYPE": "DROP TYPE span",
	"ALTER USER MAPPING":  "", // servers are an error of check
	"CREATE USER MAPPING": "CREATE USER MAPPING FOR guest SERVER far", "DROP USER MAPPING": "DROP USER MAPPING FOR clerk SERVER far",
	"ALTER VIEW": "ALTER VIEW seen SET (security_barrier)", "CREATE VIEW": "CREATE OR REPLACE VIEW seen AS SELECT n FROM base WHERE n > 1", "DROP VIEW": "DROP VIEW seen",
	"COMMENT": "COMMENT ON COLUMN base.n IS 'how many'", "GRANT": "GRANT SELECT (n) ON base TO guest", "REVOKE": "REVOKE EXECUTE ON FUNCTION plus(int) FROM PUBLIC",
	"CREATE ACCESS METHOD": "CREATE ACCESS METHOD heap3 TYPE TABLE HANDLER heap_tableam_handler", "DROP ACCESS METHOD": "DROP ACCESS METHOD heap2",
	"CREATE CAST": "CREATE CAST (text AS mood2) WITH INOUT AS ASSIGNMENT", "DROP CAST": "DROP CAST (text AS age)",
	"CREATE TRANSFORM": "CREATE TRANSFORM FOR text LANGUAGE plpgsql2 (FROM SQL WITH FUNCTION prsd_lextype(internal))", "DROP TRANSFORM": "DROP TRANSFORM FOR int LANGUAGE plpgsql2",
	"DROP OWNED": "GRANT SELECT ON base TO guest; DROP OWNED BY clerk", "IMPORT FOREIGN SCHEMA": "", // it makes foreign tables
}

// unheard are changes that no event trigger hears of, and some that a statement of a
// kind above does beside what is there.
var unheard = []string{
	"ALTER DATABASE shop SET search_path = other, public", "ALTER DATABASE shop SET timezone = 'Asia/Tokyo'", "ALTER ROLE shop SET statement_timeout = '9s'", "ALTER ROLE shop IN DATABASE shop SET datestyle = 'German'",
	"ALTER ROLE shop BYPASSRLS", "GRANT clerk TO shop", "ALTER DATABASE shop OWNER TO clerk", "GRANT CREATE ON DATABASE shop TO guest",
	"ALTER TABLE base ENABLE ROW LEVEL SECURITY", "ALTER TABLE base OWNER TO clerk", "ALTER TABLE base ALTER n SET DEFAULT 4", "ALTER TABLE base ALTER n SET STATISTICS 5", "ALTER TABLE base ALTER t SET STORAGE external",
	"ALTER TABLE base SET (fillfactor = 50)", "ALTER TABLE base REPLICA IDENTITY FULL", "ALTER TABLE base DISABLE TRIGGER pulled", "ALTER TABLE heir NO INHERIT base", "ALTER TABLE whole DETACH PARTITION leaf",
	"ALTER TABLE base CLUSTER ON by_n", "ALTER TABLE base ADD CHECK (n > 0) NOT VALID", "ALTER TABLE twin ADD FOREIGN KEY (n) REFERENCES base", "ALTER TABLE twin DISABLE RULE way", "ALTER SEQUENCE ticks OWNED BY base.n",
	"ALTER FUNCTION plus(int) SET search_path = other", "ALTER FUNCTION plus(int) OWNER TO clerk", "ALTER FUNCTION plus(int) COST 7", "ALTER TYPE mood2 ADD VALUE 'glad'", "ALTER DOMAIN age SET DEFAULT 3", "ALTER DOMAIN age SET NOT NULL",
	"ALTER EXTENSION pg_trgm DROP FUNCTION set_limit(real)", "COMMENT ON SCHEMA other IS 'x'", "COMMENT ON FUNCTION plus(int) IS 'adds'", "GRANT USAGE ON SCHEMA other TO guest", "GRANT UPDATE ON SEQUENCE ticks TO guest",
	"GRANT USAGE ON TYPE mood2 TO guest", "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC", "ALTER SCHEMA other OWNER TO clerk", "REVOKE EXECUTE ON FUNCTION pg_sleep(double precision) FROM PUBLIC", "GRANT EXECUTE ON FUNCTION set_limit(real) TO guest",
	"CREATE UNIQUE INDEX u ON twin (n); ALTER TABLE twin ADD UNIQUE USING INDEX u", "ALTER VIEW seen ALTER n SET DEFAULT 3", "ALTER TABLE base RENAME COLUMN n TO m", "ALTER TABLE heir ALTER x TYPE bigint USING x::bigint + 1",
}

// TestEveryDefinition: after a sync each kind of change of definitions that the server
// knows is noticed. Which kinds there are the server says itself: the tags of commands
// are in its program, and it refuses a trigger on one that is none.
func TestEveryDefinition(t *testing.T) {
	t.Parallel()
	server := migratetest.StartServer(t)
	server.Fill(t, 1)
	conn, err := pgx.Connect(t.Context(), server.Admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	do := func(sql string) error {
		_, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
		return err
	}
	if err := do(made + "; SET search_path = pg_catalog"); err != nil {
		t.Fatal(err)
	}
	tags := tagsOf(t, do)
	if len(tags) < 100 {
		t.Fatalf("the server knows %d kinds of statements only: %v", len(tags), tags)
	}
	before, stamped := definitionsOf(t, conn)
	notice := func(what, sql string) {
		t.Helper()
		defer do("ROLLBACK")
		if err := do("BEGIN; SET LOCAL search_path = public; " + sql + "; SET LOCAL search_path = pg_catalog"); err != nil {
			t.Errorf("%s: %s: %v", what, sql, err)
			return
		}
		now, stamp := definitionsOf(t, conn)
		changes := postgres.Diff(before, now)
		if len(changes) == 0 {
			t.Errorf("%s: %s is not noticed", what, sql)
		}
		if stamp == stamped && !strings.Contains(what, "USER MAPPING") { // which not everybody may read
			t.Errorf("%s: %s leaves the stamp as it was", what, sql)
		}
		t.Logf("%s: %s", what, strings.Join(changes, ", "))
	}
	for _, tag := range tags {
		sql, known := ddl[tag]
		if !known {
			t.Errorf("the server knows %s, and this test has no statement of that kind", tag)
		}
		if sql != "" {
			notice(tag, sql)
		}
	}
	for _, sql := range unheard {
		notice("beside them", sql)
	}
	again, _ := definitionsOf(t, conn)
	if !maps.Equal(before, again) {
		t.Errorf("with nothing changed: %v", postgres.Diff(before, again))
	}
}

func definitionsOf(t *testing.T, conn *pgx.Conn) (map[string]string, string) {
	t.Helper()
	all, err := postgres.DefinitionsIn(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	var stamp string
	if err := conn.QueryRow(t.Context(), postgres.Stamp).Scan(&stamp); err != nil {
		t.Fatal(err)
	}
	return all, stamp
}

// tagsOf are the kinds of statements that event triggers hear of.
func tagsOf(t *testing.T, do func(string) error) []string {
	t.Helper()
	installed, err := localpostgres.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join(installed.Bin, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]bool{}
	for _, text := range regexp.MustCompile(`\x00[A-Z]{4,10}(?: [A-Z]{2,14}){0,3}\x00`).FindAll(replaceNul(program), -1) {
		tag := strings.Trim(string(text), "\x00")
		if !tags[tag] && do("BEGIN; CREATE EVENT TRIGGER probe ON ddl_command_start WHEN TAG IN ('"+tag+"') EXECUTE FUNCTION public.heard(); ROLLBACK") == nil {
			tags[tag] = true
		}
		do("ROLLBACK")
	}
	return slices.Sorted(maps.Keys(tags))
}

// replaceNul doubles zero bytes: what ends one text begins the next one.
func replaceNul(program []byte) []byte {
	return []byte(strings.ReplaceAll(string(program), "\x00", "\x00\x00"))
}

// BenchmarkUnchanged compares what a status costs that finds the catalogs as they were
// with reading all definitions.
func BenchmarkUnchanged(b *testing.B) {
	source, target := migratetest.StartServer(b), migratetest.StartServer(b)
	source.Fill(b, 10)
	writer := migratetest.Writer(b, migratetest.Pair(b, source, target))
	if err := writer.Sync(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	for name, known := range map[string]*postgres.Known{"all definitions": nil, "stamp": {}} {
		b.Run(name, func(b *testing.B) {
			pair := migratetest.Pair(b, source, target)
			pair.Known = known
			reader := migratetest.Reader(b, pair)
			for b.Loop() {
				if err := reader.Unchanged(b.Context(), postgres.Source); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
