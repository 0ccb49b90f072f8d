package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Statements about rows name everything with its schema and call output functions,
// never casts: nothing that an owner of a table made, or changed in the session that
// reads the table, has a part in them.

// table is a table as Verify sees it.
type table struct {
	name string
	key  []string // what orders its rows, as SQL; none: the table is one chunk
	// kinds are the types of key: those that come with the server, and enumerations.
	kinds []string
	// sorts: its keys may be in another order on each side.
	sorts bool
}

// chunk is a range of keys, above from up to to, nil being the end; or some buckets.
type chunk struct {
	table    table
	from, to []string
	buckets  []string
}

// listKeys gives what is compared, with its keys. A domain is compared as what it is
// made of, for making one of a text checks it; a type that did not come with the
// server, as text.
const listKeys = `WITH RECURSIVE base (oid, kind) AS (
		SELECT oid, oid FROM pg_type WHERE typtype <> 'd'
		UNION ALL SELECT d.oid, b.kind FROM pg_type d JOIN base b ON b.oid = d.typbasetype WHERE d.typtype = 'd'),
	keys AS (
		SELECT i.indrelid, k.n, quote_ident(a.attname) AS name, CASE WHEN t.oid < 16384 OR t.typtype = 'e' THEN format_type(t.oid, -1) END AS kind,
			a.atttypid <> t.oid AS domain, t.oid = 'jsonb'::regtype OR t.oid < 16384 AND a.attcollation <> 0 AND NOT coalesce((SELECT CASE WHEN l.collname <> 'default' THEN l.collname IN ('C', 'POSIX') AND l.collnamespace = 'pg_catalog'::regnamespace
				ELSE d.datcollate IN ('C', 'POSIX') AND coalesce(to_jsonb(d)->>'datlocprovider', 'c') = 'c' END
				FROM pg_collation l, pg_database d WHERE l.oid = a.attcollation AND d.datname = current_database()), false) AS sorts
		FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (attnum, n), pg_attribute a, base b, pg_type t
		WHERE i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.n <= i.indnkeyatts AND b.oid = a.atttypid AND t.oid = b.kind)
	SELECT format('%I.%I', n.nspname, c.relname),
		coalesce((SELECT array_agg(CASE WHEN kind IS NULL THEN format('pg_catalog.format(''%%s'', %s) COLLATE pg_catalog."C"', name)
			WHEN domain THEN format('%s::%s', name, kind) ELSE name END ORDER BY k.n) FROM keys k WHERE k.indrelid = c.oid), '{}'),
		coalesce((SELECT array_agg(coalesce(kind, 'pg_catalog.text') ORDER BY k.n) FROM keys k WHERE k.indrelid = c.oid), '{}'),
		coalesce((SELECT bool_or(sorts) FROM keys k WHERE k.indrelid = c.oid), false)
	FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname
	JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
	WHERE p.pubname = $1 AND n.nspname <> 'godwit' ORDER BY 1`

// tables lists what is compared, with keys.
func (b *Reader) tables(ctx context.Context, side string) ([]table, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return nil, err
	}
	// format_type names the schema of what is not found without it.
	rows, err := conn.Query(ctx, listKeys, b.publication())
	if err != nil {
		return nil, b.about(side, err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (table, error) {
		var t table
		err := row.Scan(&t.name, &t.key, &t.kinds, &t.sorts)
		return t, err
	})
	if err == nil && len(tables) == 0 {
		err = fmt.Errorf("%w: nothing is published, run sync first", ErrState)
	}
	return tables, b.about(side, err)
}

// where is the condition of a chunk.
func (c chunk) where() string {
	if c.buckets != nil {
		return c.table.inBuckets(c.buckets)
	}
	conditions := []string{"true"}
	for _, end := range []struct {
		operator string
		key      []string
	}{{">", c.from}, {"<=", c.to}} {
		if end.key != nil {
			conditions = append(conditions, fmt.Sprintf("ROW(%s) OPERATOR(pg_catalog.%s) %s", strings.Join(c.table.key, ", "), end.operator, c.table.row(end.key)))
		}
	}
	return strings.Join(conditions, " AND ")
}

// row is a key as SQL.
func (t table) row(key []string) string {
	values := make([]string, len(key))
	for i := range key {
		values[i] = literal(key[i]) + "::" + t.kinds[i]
	}
	return "ROW(" + strings.Join(values, ", ") + ")"
}

// text is a key of a row as one text.
func (t table) text() string {
	return "pg_catalog.format('%s', ROW(" + strings.Join(t.key, ", ") + "))"
}

// parts is a key of a row, column by column.
func (t table) parts() string {
	values := make([]string, len(t.key))
	for i, k := range t.key {
		values[i] = "pg_catalog.format('%s', " + k + ")"
	}
	return "ARRAY[" + strings.Join(values, ", ") + "]"
}

// exactly is the condition that a row has one of some keys, which an index can answer.
func (t table) exactly(keys [][]string) string {
	conditions := make([]string, len(keys))
	for i, key := range keys {
		conditions[i] = "ROW(" + strings.Join(t.key, ", ") + ") OPERATOR(pg_catalog.=) " + t.row(key)
	}
	return "(" + strings.Join(conditions, " OR ") + ")"
}

// only is the condition that a row has one of some keys, as text.
func (t table) only(keys []string) string {
	quoted := make([]string, len(keys))
	for i, key := range keys {
		quoted[i] = literal(key)
	}
	return t.text() + " OPERATOR(pg_catalog.=) ANY (ARRAY[" + strings.Join(quoted, ", ") + "])"
}

// boundary is the query for the key that is chunkRows rows above from.
func (c chunk) boundary() string {
	return fmt.Sprintf("SELECT %s FROM ONLY %s WHERE %s ORDER BY %s LIMIT 1 OFFSET %d",
		c.table.parts(), c.table.name, c.where(), strings.Join(c.table.key, ", "), chunkRows-1)
}

// rowSum is the md5 of a row t: of what its output function writes.
const rowSum = "pg_catalog.md5(pg_catalog.format('%s', t.*))"

// sumOf is the checksum of rows in any order, of their md5 h: how many, and the sums of
// both halves, which every major from 11 on computes alike.
const sumOf = `pg_catalog.count(*), pg_catalog.format('%s %s', pg_catalog.sum(pg_catalog.format('x%s', pg_catalog.left(h, 16))::pg_catalog.bit(64)::pg_catalog.int8),
	pg_catalog.sum(pg_catalog.format('x%s', pg_catalog.right(h, 16))::pg_catalog.bit(64)::pg_catalog.int8))`

// sum is the query for the checksum of a chunk.
func (c chunk) sum() string {
	return "SELECT " + sumOf + " FROM (SELECT " + rowSum + " AS h FROM ONLY " + c.table.name + " t WHERE " + c.where() + ") m"
}

// sums is the query for the md5 of each row, by key, and for what the key consists of.
func (c chunk) sums(more string) string {
	return fmt.Sprintf("SELECT %s, %s, %s FROM ONLY %s t WHERE %s AND %s", c.table.text(), rowSum, c.table.parts(), c.table.name, c.where(), more)
}
