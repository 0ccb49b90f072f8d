package postgres

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed apparatus.sql
var apparatus string

// apparatusSum says which apparatus a side has.
var apparatusSum = func() string {
	sum := sha256.Sum256([]byte(apparatus))
	return hex.EncodeToString(sum[:8])
}()

// keyApparatus of godwit.state is for apparatusSum.
const keyApparatus = "apparatus"

// guardTrigger is the name of the trigger on every table that moves.
const guardTrigger = "godwit_guard"

// dropEventTriggers drops those that refuse definitions.
const dropEventTriggers = "DROP EVENT TRIGGER IF EXISTS " + guardTrigger + "; DROP EVENT TRIGGER IF EXISTS " + guardTrigger + "_end"

// lockPatience is how long a guard waits for a table at a time: everybody who
// wants to write to that table waits behind it.
const lockPatience = 200 * time.Millisecond

// mine is a condition on pg_class c and pg_namespace n: neither the server's,
// nor godwit's, nor an extension's.
const mine = ` n.nspname NOT IN ('information_schema', 'godwit') AND n.nspname NOT LIKE 'pg\_%'
	AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') `

// listTables gives the tables that move: leaves of partitioned ones, not the
// partitioned ones themselves, which have no rows of their own.
const listTables = `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND ` + mine + ` ORDER BY 1`

// column reads the first column of a query.
func column(ctx context.Context, conn *pgx.Conn, query string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// makeSchema makes schema godwit, and fails where another role was quicker.
const makeSchema = `DO $$
DECLARE
	other text;
BEGIN
	IF to_regnamespace('godwit') IS NULL THEN
		CREATE SCHEMA godwit;
	END IF;
	SELECT pg_get_userbyid(n.nspowner) INTO other FROM pg_namespace n WHERE n.nspname = 'godwit' AND NOT (` + trusted + `);
	IF FOUND THEN
		RAISE EXCEPTION 'schema godwit belongs to role %: godwit needs this name; rename it, or drop it', other;
	END IF;
END $$`

// dropApparatus drops what makeSchema made.
const dropApparatus = `DO $$ BEGIN
	IF EXISTS (SELECT FROM pg_namespace n WHERE ` + trusted + `) THEN
		DROP SCHEMA godwit CASCADE;
	END IF;
END $$`

// equip makes schema godwit on side, and notes whose it is.
func (b *Writer) equip(ctx context.Context, side string) error {
	_, err := b.write(ctx, side, append(append([]string{"BEGIN", "SET LOCAL client_min_messages = warning", makeSchema, strings.TrimSpace(apparatus) + "\n"}, b.signature()...), noteState(keyApparatus, literal(apparatusSum)), "COMMIT")...)
	return err
}

// refresh makes schema godwit what this godwit needs, where an earlier one made it.
func (b *Writer) refresh(ctx context.Context) error {
	for _, side := range []string{Source, Target} {
		values, err := b.write(ctx, side, stateOf(keyApparatus))
		if err != nil {
			return err
		}
		if values[0] == apparatusSum {
			continue
		}
		if err := b.equip(ctx, side); err != nil {
			return err
		}
	}
	return nil
}

// guarded is a condition on pg_class c: it has the guard, as it was made. Whoever owns
// the table may have disabled it, or put something else in its place.
const guarded = `EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = '` + guardTrigger + `' AND t.tgenabled = 'A'
	AND t.tgtype = 62 AND t.tgqual IS NULL AND t.tgattr = '' AND t.tgfoid = to_regprocedure('godwit.guard()'))`

// unguarded lists the tables whose guard is not as it was made.
const unguarded = `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND ` + mine + ` AND NOT ` + guarded + ` ORDER BY 1`

// guard puts the guard on every table of side that has none, or not as it was made.
func (b *Writer) guard(ctx context.Context, side string) error {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	bare, err := column(ctx, conn, unguarded)
	if err != nil {
		return b.about(side, err)
	}
	err = b.onTables(ctx, side, bare, func(table string) []string {
		return []string{"DO " + literal(fmt.Sprintf(`BEGIN
	IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = %s::regclass AND %s) THEN
		DROP TRIGGER IF EXISTS %[3]s ON %[4]s;
		CREATE TRIGGER %[3]s BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %[4]s FOR EACH STATEMENT EXECUTE FUNCTION godwit.guard();
		ALTER TABLE %[4]s ENABLE ALWAYS TRIGGER %[3]s;
	END IF;
END`, literal(table), guarded, guardTrigger, table))}
	})
	if err != nil {
		return fmt.Errorf("guarding tables: %w", err)
	}
	return nil
}

// unguard takes the guards away.
func (b *Writer) unguard(ctx context.Context, side string) error {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	tables, err := column(ctx, conn, "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = $1", guardTrigger)
	if err != nil {
		return b.about(side, err)
	}
	err = b.onTables(ctx, side, tables, func(table string) []string {
		return []string{fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", guardTrigger, table)}
	})
	if err != nil {
		return fmt.Errorf("taking guards from tables: %w", err)
	}
	_, err = b.write(ctx, side, dropEventTriggers)
	return err
}
