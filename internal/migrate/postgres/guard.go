package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed apparatus.sql
var apparatus string

// guardTrigger is the name of the trigger on every table that moves.
const guardTrigger = "godwit_guard"

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

// equip makes schema godwit on side, and notes whose it is.
func (b *Writer) equip(ctx context.Context, side string) error {
	_, err := b.write(ctx, side, append(append([]string{"BEGIN", "SET LOCAL client_min_messages = warning", strings.TrimSpace(apparatus) + "\n"}, b.signature()...), "COMMIT")...)
	return err
}

// guard puts the guard on every table of side that has none.
func (b *Writer) guard(ctx context.Context, side string) error {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	bare, err := column(ctx, conn, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND `+mine+` AND NOT EXISTS
			(SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = $1) ORDER BY 1`, guardTrigger)
	if err != nil {
		return b.about(side, err)
	}
	for _, table := range bare {
		err := b.patiently(ctx, side,
			fmt.Sprintf("CREATE TRIGGER %s BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION godwit.guard()", guardTrigger, table),
			fmt.Sprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, guardTrigger))
		if err != nil {
			return fmt.Errorf("guarding table %s: %w", table, err)
		}
	}
	return nil
}

// unguard takes the guards away.
func (b *Writer) unguard(ctx context.Context, side string) error {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	tables, err := column(ctx, conn, "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = $1 AND tgparentid = 0", guardTrigger)
	if err != nil {
		return b.about(side, err)
	}
	for _, table := range tables {
		if err := b.patiently(ctx, side, fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", guardTrigger, table)); err != nil {
			return fmt.Errorf("taking the guard from table %s: %w", table, err)
		}
	}
	_, err = b.write(ctx, side, "DROP EVENT TRIGGER IF EXISTS "+guardTrigger)
	return err
}

// patiently runs statements that lock a table in one transaction, giving way
// to whoever uses the table and trying again.
func (b *Writer) patiently(ctx context.Context, side string, statements ...string) error {
	all := append([]string{"BEGIN", fmt.Sprintf("SET LOCAL lock_timeout = '%dms'", lockPatience.Milliseconds()), "SET LOCAL client_min_messages = warning"},
		append(statements, "COMMIT")...)
	var last error
	err := until(ctx, lockPatience/2, func() (bool, error) {
		_, err := b.write(ctx, side, all...)
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && (pgErr.Code == "55P03" || pgErr.Code == "40P01") {
			last = err
			return false, nil
		}
		return true, err
	})
	if err != nil && last != nil {
		return fmt.Errorf("%w; a long transaction uses it: %w", err, last)
	}
	return err
}
