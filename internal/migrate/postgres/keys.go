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

	"godwit/internal/landscape"
)

// The stream finds the row that was updated or deleted by its key. A table without a
// primary key needs a replica identity as long as it is published: an index that could
// be one, or the whole row (FULL). With consent (AutoKeys) sync gives it one, and who
// ends the migration takes it back.

// keyless is a table that has neither.
type keyless struct {
	Table string // as SQL
	Oid   uint32
	Was   string // relreplident: "d", or "n" where somebody wanted none, or dropped its index
	Index string // as SQL; "" where no index will do
	Bytes int64
	Bare  string // a column whose type has no equality; no row is found by it
}

const keylessQuery = withoutEquality + `SELECT format('%I.%I', n.nspname, c.relname), c.oid, CASE c.relreplident WHEN 'd' THEN 'd' ELSE 'n' END,
		coalesce((SELECT quote_ident(x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
			WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
			AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) k LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k]
				WHERE a.attnotnull IS NOT TRUE OR a.attnum <= 0)
			ORDER BY i.indnkeyatts, x.relname LIMIT 1), ''),
		c.relpages::bigint * current_setting('block_size')::bigint,
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

// keyKeys of godwit.state are the keys that were given, a list of givenKey in JSON.
const keyKeys = "keys"

// givenKey is what is needed to take one back.
type givenKey struct {
	Table string `json:"table"` // as SQL, when it was given
	Oid   uint32 `json:"oid"`   // of the table, which it keeps under another name; 0: not known yet
	Given string `json:"given"` // relreplident
	Was   string `json:"was"`   // as SQL
}

func (k keyless) given() givenKey {
	return givenKey{Table: k.Table, Oid: k.Oid, Given: map[bool]string{true: "f", false: "i"}[k.Index == ""],
		Was: map[string]string{"d": "DEFAULT", "n": "NOTHING"}[k.Was]}
}

// takeBack is the statement that makes the table as it was, unless somebody has given it
// another key meanwhile, or it is gone.
func (g givenKey) takeBack() string {
	table := "pg_catalog.to_regclass(" + literal(g.Table) + ")"
	if g.Oid != 0 {
		table = fmt.Sprintf("%d::oid::regclass", g.Oid)
	}
	return "DO " + literal(fmt.Sprintf(`DECLARE t CONSTANT regclass := %s; BEGIN
		IF (SELECT c.relreplident::text FROM pg_catalog.pg_class c WHERE c.oid = t) = %s THEN EXECUTE pg_catalog.format('ALTER TABLE %%s REPLICA IDENTITY %s', t); END IF; END`,
		table, literal(g.Given), g.Was))
}

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
	given, err := b.keysGiven(ctx, Source)
	if err != nil {
		return err
	}
	for _, k := range tables {
		if !slices.ContainsFunc(given, func(g givenKey) bool { return g.Oid == k.Oid }) {
			given = append(given, k.given())
		}
	}
	if len(given) == 0 {
		return nil
	}
	there := slices.Clone(given)
	for i := range there {
		there[i].Oid = 0
	}
	if err := errors.Join(b.noteKeys(ctx, Source, given), b.noteKeys(ctx, Target, there)); err != nil {
		return err
	}
	for _, k := range tables {
		if err := b.patiently(ctx, Source, k.give()); err != nil {
			return err
		}
	}
	return nil
}

func (b *Writer) noteKeys(ctx context.Context, side string, given []givenKey) error {
	list, err := json.Marshal(given)
	if err != nil {
		return err
	}
	_, err = b.write(ctx, side, noteState(keyKeys, literal(string(list))))
	return err
}

// findKeys notes which tables of the target have the names of those that got a key: from
// now on they may be renamed.
func (b *Writer) findKeys(ctx context.Context) error {
	given, err := b.keysGiven(ctx, Target)
	if err != nil || !slices.ContainsFunc(given, func(g givenKey) bool { return g.Oid == 0 }) {
		return err
	}
	for i, g := range given {
		if g.Oid != 0 {
			continue
		}
		oid, err := b.write(ctx, Target, "SELECT coalesce(pg_catalog.to_regclass("+literal(g.Table)+")::oid, 0)")
		if err != nil {
			return err
		}
		if _, err := fmt.Sscan(oid[0], &given[i].Oid); err != nil {
			return err
		}
	}
	return b.noteKeys(ctx, Target, given)
}

// keysGiven are the keys that were given on side.
func (b *Writer) keysGiven(ctx context.Context, side string) ([]givenKey, error) {
	there, err := b.write(ctx, side, apparatusIn("state"))
	if err != nil || there[0] == "" {
		return nil, err
	}
	noted, err := b.write(ctx, side, stateOf(keyKeys))
	if err != nil {
		return nil, err
	}
	var given []givenKey
	err = json.Unmarshal([]byte(cmp.Or(noted[0], "[]")), &given)
	return given, b.about(side, err)
}

// takeKeys takes back what giveKeys gave, once nothing is published any more.
func (b *Writer) takeKeys(ctx context.Context, side string) error {
	given, err := b.keysGiven(ctx, side)
	if err != nil {
		return err
	}
	for _, g := range given {
		if err := b.patiently(ctx, side, g.takeBack()); err != nil {
			return err
		}
	}
	return nil
}
