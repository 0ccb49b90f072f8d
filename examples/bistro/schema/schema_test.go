package schema

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"godwit/examples/bistro/internal/pgtest"
)

var postgres *pgtest.Server

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, &postgres)) }

// insertReceipt writes a receipt by hand, rightly hashed, with any number and
// any predecessor.
const insertReceipt = `
INSERT INTO receipts
SELECT $1::int, $2::bigint, nullif($2::bigint - 1, 0), p.hash,
       receipt_hash(p.hash, $1, $2, 'by hand', 100, '[]', t.at), 'by hand', 100, '[]', t.at
FROM (SELECT coalesce((SELECT hash FROM receipts WHERE register = $1 AND number = $3::bigint),
                      decode(repeat('00', 32), 'hex')) AS hash) p, (SELECT now() AS at) t`

func paid(t *testing.T, receipts int) *pgtest.Database {
	t.Helper()
	db := postgres.Database(t, Till)
	for range receipts {
		db.Exec(t, `SELECT pay(gen_random_uuid()::text, 1, NULL, '[{"sku": "tea", "qty": 1, "price_cents": 380}]')`)
	}
	return db
}

func whole(t *testing.T, db *pgtest.Database) (gaps, breaks int64) {
	t.Helper()
	return db.Int(t, pgtest.Invariant(t, "receipt_gaps")), db.Int(t, pgtest.Invariant(t, "chain_breaks"))
}

func TestSchemasMayRunAgain(t *testing.T) {
	t.Parallel()
	db := paid(t, 2)
	db.Owner(t, Till)
	menu := postgres.Database(t, Menu)
	menu.Owner(t, `SELECT set_price('tea', 400)`)
	menu.Owner(t, Menu)
	if n := menu.Int(t, `SELECT price_cents FROM items WHERE sku = 'tea'`); n != 400 {
		t.Errorf("a changed price came back as %d", n)
	}
	if n := menu.Int(t, `SELECT count(*) FROM items`); n < 40 {
		t.Errorf("the menu has %d items", n)
	}
	for _, d := range []*pgtest.Database{db, menu} {
		if n := d.Int(t, `SELECT count(*) FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
			AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)`); n != 0 {
			t.Errorf("%d tables without a primary key", n)
		}
	}
	if n := db.Int(t, `SELECT count(*) FROM pg_sequences WHERE schemaname = 'public'`); n == 0 {
		t.Error("no sequence for a migration to carry")
	}
}

func TestGapOrDoubleCannotBeCommitted(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]struct {
		stmt string
		args []any
	}{
		"a gap":                    {insertReceipt, []any{1, 5, 3}},
		"a double":                 {insertReceipt, []any{1, 3, 2}},
		"the first, again":         {insertReceipt, []any{1, 1, 0}},
		"chained to another":       {insertReceipt, []any{1, 4, 2}},
		"number zero":              {insertReceipt, []any{1, 0, 0}},
		"a gap at the start":       {insertReceipt, []any{2, 2, 0}},
		"an unknown register":      {insertReceipt, []any{99, 1, 0}},
		"one taken out":            {`DELETE FROM receipts WHERE register = 1 AND number = 2`, nil},
		"the last taken off":       {`DELETE FROM receipts WHERE register = 1 AND number = 3`, nil},
		"renumbered":               {`UPDATE receipts SET number = 4, previous = 3 WHERE register = 1 AND number = 3`, nil},
		"total altered":            {`UPDATE receipts SET total_cents = 1 WHERE number = 2`, nil},
		"altered and hashed again": {`UPDATE receipts SET total_cents = 1, hash = receipt_hash(previous_hash, register, number, key, 1, lines, issued_at) WHERE number = 2`, nil},
		"the last, hashed again":   {`UPDATE receipts SET total_cents = 1, hash = receipt_hash(previous_hash, register, number, key, 1, lines, issued_at) WHERE number = 3`, nil},
		"register ahead":           {`UPDATE registers SET last = 9 WHERE register = 1`, nil},
		"register forgotten":       {`DELETE FROM receipts; UPDATE registers SET last = 7, last_hash = '\x00' WHERE register = 1`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := paid(t, 3)
			_, err := db.Admin.Exec(t.Context(), sql.stmt, sql.args...)
			pg, ok := errors.AsType[*pgconn.PgError](err)
			if !ok || !strings.HasPrefix(pg.Code, "23") {
				t.Errorf("want an integrity violation, have %v", err)
			}
			if gaps, breaks := whole(t, db); gaps != 0 || breaks != 0 {
				t.Errorf("gaps %d, breaks %d", gaps, breaks)
			}
			if n := db.Int(t, `SELECT count(*) FROM receipts`); n != 3 {
				t.Errorf("%d receipts left of 3", n)
			}
		})
	}
}

func TestRightReceiptByHandIsTaken(t *testing.T) {
	t.Parallel()
	db := paid(t, 3)
	if _, err := db.Admin.Exec(t.Context(), insertReceipt, 1, 4, 3); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `SELECT pay('next', 1, NULL, '[{"sku": "tea", "qty": 1, "price_cents": 380}]')`)
	if n := db.Int(t, `SELECT max(number) FROM receipts`); n != 5 {
		t.Errorf("the register stands at %d, not 5", n)
	}
}

// Whoever has the power to switch the constraints off is still found out.
func TestInvariantsFindWhatConstraintsWereKeptFrom(t *testing.T) {
	t.Parallel()
	const off = `SET session_replication_role = replica; ALTER TABLE receipts DROP CONSTRAINT receipts_untampered;`
	for name, tampered := range map[string]struct {
		sql          string
		gaps, breaks int64
	}{
		"total altered":            {`UPDATE receipts SET total_cents = 1 WHERE number = 2`, 0, 1},
		"altered and hashed again": {`UPDATE receipts SET total_cents = 1, hash = receipt_hash(previous_hash, register, number, key, 1, lines, issued_at) WHERE number = 2`, 0, 1},
		"one taken out":            {`DELETE FROM receipts WHERE number = 2`, 1, 1},
		"the last taken off":       {`DELETE FROM receipts WHERE number = 3`, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := paid(t, 3)
			db.Exec(t, "DELETE FROM payments; "+off+tampered.sql)
			if gaps, breaks := whole(t, db); gaps != tampered.gaps || breaks != tampered.breaks {
				t.Errorf("gaps %d, breaks %d; want %d, %d", gaps, breaks, tampered.gaps, tampered.breaks)
			}
		})
	}
}
