package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/landscape"
)

// The stream finds the row that was updated or deleted by its key. A table without a
// primary key needs a replica identity as long as it is published: an index that could
// be one, or the whole row (FULL). With consent (AutoKeys) sync gives it one, and who
// ends the migration takes it back.

// keyless is a table that has neither.
type keyless struct {
	Table string // as SQL
	Was   string // relreplident: "d", or "n" where somebody wanted none, or dropped its index
	Index string // as SQL; "" where no index will do
	Bytes int64
	Bare  string // a column whose type has no equality; no row is found by it
}

const keylessQuery = withoutEquality + `SELECT format('%I.%I', n.nspname, c.relname), CASE c.relreplident WHEN 'd' THEN 'd' ELSE 'n' END,
		coalesce((SELECT quote_ident(x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
			WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
			AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) k LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k]
				WHERE a.attnotnull IS NOT TRUE OR a.attnum <= 0)
			ORDER BY i.indnkeyatts, x.relname LIMIT 1), ''),
		pg_relation_size(c.oid),
		coalesce((SELECT format('%s, %s', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod)) FROM pg_attribute a JOIN bare b ON b.oid = a.atttypid
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum LIMIT 1), '')` +
	relations + ` AND c.relkind = 'r' AND c.relpersistence = 'p' AND (c.relreplident = 'n'
		OR c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
		OR c.relreplident = 'i' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident))
	ORDER BY 1`

// give is the statement that gives the table an identity.
func (k keyless) give() string {
	identity := "FULL"
	if k.Index != "" {
		identity = "USING INDEX " + k.Index
	}
	return "ALTER TABLE " + k.Table + " REPLICA IDENTITY " + identity
}

// takeBack is the statement that makes it as it was.
func (k keyless) takeBack() string {
	return "ALTER TABLE IF EXISTS " + k.Table + " REPLICA IDENTITY " + map[string]string{"d": "DEFAULT", "n": "NOTHING"}[k.Was]
}

// lost: no identity makes its rows found.
func (k keyless) lost() bool { return k.Index == "" && k.Bare != "" }

func findKeyless(ctx context.Context, conn *pgx.Conn) ([]keyless, error) {
	rows, err := conn.Query(ctx, keylessQuery)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[keyless])
}

// keys finds the tables that have no key: one finding, with what to do about all.
func (b *Reader) keys(ctx context.Context) (landscape.Findings, error) {
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return nil, err
	}
	tables, err := findKeyless(ctx, conn)
	if err != nil {
		return nil, b.about(Source, err)
	}
	var all landscape.Findings
	for _, k := range tables {
		if k.lost() {
			all = append(all, b.finding(Source, landscape.Error, fmt.Sprintf("table %s has no primary key, and no replica identity would do: rows cannot be found by %s, a type without equality", k.Table, k.Bare),
				"give it a primary key, or a unique index over NOT NULL columns"))
		}
	}
	tables = slices.DeleteFunc(tables, keyless.lost)
	if len(tables) == 0 {
		return all, nil
	}
	if b.AutoKeys {
		return append(all, b.keysToGive(tables)), nil
	}
	return append(all, b.keysMissing(tables)), nil
}

func (b *Reader) keysMissing(tables []keyless) landscape.Finding {
	var names, script []string
	for _, k := range tables {
		names, script = append(names, k.Table), append(script, k.give()+";")
	}
	return b.finding(Source, landscape.Error,
		fmt.Sprintf("%s no primary key and no replica identity: updates would fail as soon as they are published: %s", count(len(tables), "table has", "tables have"), some(names, 5)),
		fmt.Sprintf("declare keys = \"auto\" in migration %q: sync gives them an identity, and the end takes it back; or do it yourself:\n%s", b.Migration, strings.Join(script, "\n")))
}

func (b *Reader) keysToGive(tables []keyless) landscape.Finding {
	var full []string
	var bytes int64
	for _, k := range tables {
		if k.Index == "" {
			full, bytes = append(full, k.Table), bytes+k.Bytes
		}
	}
	summary := fmt.Sprintf("%s no primary key: sync gives a replica identity, and the end takes it back: %d by a unique index", count(len(tables), "table has", "tables have"), len(tables)-len(full))
	if len(full) > 0 {
		summary += fmt.Sprintf(", %d by the whole row (%d MB): %s", len(full), (bytes+1<<20-1)>>20, some(full, 5))
	}
	return b.finding(Source, landscape.Warning, summary, "nothing must be done; where much is updated or deleted in a large table of the second kind, give it a primary key: each such row is searched for on the other side")
}

func count(n int, one, many string) string {
	return fmt.Sprintf("%d %s", n, map[bool]string{true: one, false: many}[n == 1])
}

// some are the first of names, and how many more there are.
func some(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// keyKeys of godwit.state are the statements, a list in JSON, that take the identities back.
const keyKeys = "keys"

// giveKeys gives tables of the source that have no key an identity. It is noted before,
// on both sides: the target gets them with the definitions.
func (b *Writer) giveKeys(ctx context.Context) error {
	if !b.AutoKeys {
		return nil
	}
	conn, err := b.writer(ctx, Source)
	if err != nil {
		return err
	}
	tables, err := findKeyless(ctx, conn)
	if err != nil {
		return b.about(Source, err)
	}
	tables = slices.DeleteFunc(tables, keyless.lost)
	back, err := b.keysGiven(ctx, Source)
	if err != nil {
		return err
	}
	for _, k := range tables {
		if !slices.Contains(back, k.takeBack()) {
			back = append(back, k.takeBack())
		}
	}
	if len(back) == 0 {
		return nil
	}
	list, err := json.Marshal(back)
	if err != nil {
		return err
	}
	for _, side := range []string{Source, Target} {
		if _, err := b.write(ctx, side, noteState(keyKeys, literal(string(list)))); err != nil {
			return err
		}
	}
	for _, k := range tables {
		if err := b.patiently(ctx, Source, k.give()); err != nil {
			return err
		}
	}
	return nil
}

// keysGiven are the statements that take back what was given on side.
func (b *Writer) keysGiven(ctx context.Context, side string) ([]string, error) {
	there, err := b.write(ctx, side, apparatusIn("state"))
	if err != nil || there[0] == "" {
		return nil, err
	}
	noted, err := b.write(ctx, side, stateOf(keyKeys))
	if err != nil {
		return nil, err
	}
	var back []string
	err = json.Unmarshal([]byte(cmp.Or(noted[0], "[]")), &back)
	return back, b.about(side, err)
}

// takeKeys takes back what giveKeys gave, once nothing is published any more. A table
// that has become something else meanwhile stays as it is.
func (b *Writer) takeKeys(ctx context.Context, side string) error {
	back, err := b.keysGiven(ctx, side)
	if err != nil {
		return err
	}
	for _, statement := range back {
		err := b.patiently(ctx, side, statement)
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == wrongObjectType {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const wrongObjectType = "42809"
