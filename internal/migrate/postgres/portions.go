package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A server has room for the locks of max_locks_per_transaction objects for each
// connection that it allows, of all sessions together: by itself 6,400. What goes
// over all tables goes over a portion of them at a time, so that it can always be
// done, and in few round trips.
const (
	portion = 500 // sequences to read or tables to publish, of which nothing else is locked
	few     = 50  // tables to drop, with their indexes, sequences and TOAST tables
)

// onTables runs statements for each table, each time in a transaction of its own,
// many in one round trip. It gives way to whoever uses a table, and tries that one
// again: the statements must bear it.
func (b *Writer) onTables(ctx context.Context, side string, tables []string, statements func(table string) []string) error {
	for some := range slices.Chunk(tables, few) {
		var all []string
		for _, t := range some {
			all = append(all, givingWay(statements(t))...)
		}
		_, err := b.write(ctx, side, all...)
		if err == nil {
			continue
		}
		if !waitedInVain(err) {
			return err
		}
		for _, t := range some {
			if err := b.patiently(ctx, side, statements(t)...); err != nil {
				return fmt.Errorf("table %s: %w", t, err)
			}
		}
	}
	return nil
}

// givingWay is a transaction that ends rather than keep others from a table.
func givingWay(statements []string) []string {
	return append(append([]string{"BEGIN", fmt.Sprintf("SET LOCAL lock_timeout = '%dms'", lockPatience.Milliseconds()), "SET LOCAL client_min_messages = warning"},
		statements...), "COMMIT")
}

// waitedInVain: somebody else has the lock.
func waitedInVain(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "55P03" || pgErr.Code == "40P01")
}

// patiently runs statements that lock a table in one transaction. It gives way to the
// sessions that use the table and tries again, less and less often: all who come to the
// table meanwhile wait behind it.
func (b *Writer) patiently(ctx context.Context, side string, statements ...string) error {
	var last error
	for wait := lockPatience / 2; ; wait = min(2*wait, rarely) {
		_, err := b.write(ctx, side, givingWay(statements)...)
		if err == nil || !waitedInVain(err) {
			return err
		}
		last = err
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("%w; a long transaction uses it: %w", err, last)
		}
	}
}

// rarely is how long the pauses of patiently become.
const rarely = 5 * time.Second

// publish makes the publication of side: an explicit list of tables.
func (b *Writer) publish(ctx context.Context, side string) error {
	published, err := b.write(ctx, side, stateOf(keyPublished))
	if err != nil || published[0] != "" {
		return err
	}
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	exists, err := column(ctx, conn, "SELECT pubname FROM pg_publication WHERE pubname = $1", b.publication())
	if err != nil {
		return b.about(side, err)
	}
	if len(exists) == 0 {
		if err := b.patiently(ctx, side, "CREATE PUBLICATION "+ident(b.publication())+" FOR TABLE godwit.marker"); err != nil {
			return err
		}
	}
	tables, err := column(ctx, conn, listTables)
	if err != nil {
		return b.about(side, err)
	}
	there, err := column(ctx, conn, "SELECT format('%I.%I', schemaname, tablename) FROM pg_publication_tables WHERE pubname = $1", b.publication())
	if err != nil {
		return b.about(side, err)
	}
	tables = slices.DeleteFunc(tables, func(t string) bool { return slices.Contains(there, t) })
	for some := range slices.Chunk(tables, portion) {
		if err := b.patiently(ctx, side, "ALTER PUBLICATION "+ident(b.publication())+" ADD TABLE "+strings.Join(some, ", ")); err != nil {
			return err
		}
	}
	_, err = b.write(ctx, side, noteState(keyPublished, "now()::text"))
	return err
}

// Keys of godwit.state about work that is done in portions.
const (
	keyCopied    = "copied"    // the definitions of the source are on the target
	keyWiping    = "wiping"    // they are being removed, and may be there in part
	keyPublished = "published" // the publication has all tables
)

// wipe drops from the target what restore made there. It goes on where an earlier
// one, or a restore, was cut off; begun does only that.
func (b *Writer) wipe(ctx context.Context, begun bool) error {
	conn, err := b.writer(ctx, Target)
	if err != nil {
		return err
	}
	values, err := batch(ctx, conn, apparatusIn("state"))
	if err != nil || values[0] == "" {
		return b.about(Target, err)
	}
	values, err = batch(ctx, conn, stateOf(keyCopied), stateOf(keyWiping), "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = "+literal(b.restorer()))
	if err != nil || values[1] == "" && values[2] == "" && (begun || values[0] == "") {
		return b.about(Target, err)
	}
	if fenced, err := b.fenced(ctx, Target); err != nil || !fenced {
		return errors.Join(err, b.about(Target, fmt.Errorf("%w: it accepts writes, and is not emptied", ErrState)))
	}
	if _, err := b.write(ctx, Target, "BEGIN", noteState(keyWiping, "now()::text"), "DELETE FROM godwit.state WHERE key = '"+keyCopied+"'", "COMMIT"); err != nil {
		return err
	}
	if err := b.dropAll(ctx, conn); err != nil {
		return err
	}
	if restorer := values[2]; restorer != "" { // it never gave away what it made
		if _, err := b.write(ctx, Target, "BEGIN", "DROP OWNED BY "+restorer+" CASCADE", "DROP ROLE "+restorer, "COMMIT"); err != nil {
			return err
		}
	}
	_, err = b.write(ctx, Target, "BEGIN", "CREATE SCHEMA IF NOT EXISTS public AUTHORIZATION pg_database_owner",
		"GRANT USAGE ON SCHEMA public TO PUBLIC", "DELETE FROM godwit.state WHERE key = '"+keyWiping+"'", "COMMIT")
	return err
}

// dropping lists the statements that empty a database, in the order in which most of
// what is dropped has nothing left that belongs to it: many objects at once would need
// as many locks, each with all that goes with it.
var dropping = []string{
	`SELECT format('DROP %s IF EXISTS %I.%I CASCADE', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
			n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't' AND ` + mine + `
		ORDER BY c.relkind NOT IN ('v', 'm'), c.relkind = 'p', EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid), c.oid DESC`,
	`SELECT format('DROP SEQUENCE IF EXISTS %I.%I CASCADE', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ` + mine + ` ORDER BY c.oid`,
	`SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname NOT IN ('information_schema', 'godwit') AND n.nspname NOT LIKE 'pg\_%'
		AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i')) ORDER BY p.oid DESC`,
	`SELECT format('DROP EXTENSION IF EXISTS %I CASCADE', extname) FROM pg_extension WHERE extname <> 'plpgsql'`,
	`SELECT format('DROP SCHEMA IF EXISTS %I CASCADE', nspname) FROM pg_namespace
		WHERE nspname NOT IN ('information_schema', 'godwit') AND nspname NOT LIKE 'pg\_%'`,
}

// dropAll drops everything of the target that is not godwit's.
func (b *Writer) dropAll(ctx context.Context, conn *pgx.Conn) error {
	for _, list := range dropping {
		drops, err := column(ctx, conn, list)
		if err != nil {
			return b.about(Target, err)
		}
		for some := range slices.Chunk(drops, few) {
			if err := b.patiently(ctx, Target, append([]string{"SET LOCAL client_min_messages = error"}, some...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpublish drops the publication of side, its tables before it: as many locks as it
// has would be taken with it.
func (b *Writer) unpublish(ctx context.Context, side string) error {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	tables, err := column(ctx, conn, "SELECT format('%I.%I', schemaname, tablename) FROM pg_publication_tables WHERE pubname = $1", b.publication())
	if err != nil {
		return b.about(side, err)
	}
	if len(tables) > few {
		if _, err := b.write(ctx, side, "BEGIN", when("to_regclass('godwit.state') IS NOT NULL", "DELETE FROM godwit.state WHERE key = '"+keyPublished+"';"), "COMMIT"); err != nil {
			return err
		}
		for some := range slices.Chunk(tables, portion) {
			if err := b.patiently(ctx, side, "ALTER PUBLICATION "+ident(b.publication())+" DROP TABLE "+strings.Join(some, ", ")); err != nil {
				return err
			}
		}
	}
	_, err = b.write(ctx, side, "BEGIN", "SET LOCAL client_min_messages = error", "DROP PUBLICATION IF EXISTS "+ident(b.publication()), "COMMIT")
	return err
}
