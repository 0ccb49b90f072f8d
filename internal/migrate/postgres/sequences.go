package postgres

import (
	"context"
	"fmt"
	"strings"
)

// Sequence is where a sequence stands.
type Sequence struct {
	Name   string // quoted, with its schema
	Last   int64
	Called bool // Last was given out; otherwise it is the next one
	Falls  bool // it counts downwards
}

// listSequences gives, for each sequence, the query that reads it.
const listSequences = `SELECT format('SELECT %L, last_value, is_called, %L::boolean FROM %1$s', format('%I.%I', n.nspname, c.relname), q.seqincrement < 0)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence q ON q.seqrelid = c.oid
	WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ` + mine + ` ORDER BY 1`

// carryQuery makes the query that reads all sequences of side at once, "" when
// there are none. It is made before the write pause.
func (b *Writer) carryQuery(ctx context.Context, side string) (string, error) {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return "", err
	}
	parts, err := column(ctx, conn, listSequences)
	return strings.Join(parts, " UNION ALL "), b.about(side, err)
}

// Sequences reads where all sequences of side stand, in one round trip when
// Prepare ran before.
func (b *Writer) Sequences(ctx context.Context, side string) ([]Sequence, error) {
	query := b.carry
	if query == "" {
		var err error
		if query, err = b.carryQuery(ctx, side); err != nil || query == "" {
			return nil, err
		}
	}
	conn, err := b.writer(ctx, side)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, b.about(side, err)
	}
	defer rows.Close()
	var all []Sequence
	for rows.Next() {
		var s Sequence
		if err := rows.Scan(&s.Name, &s.Last, &s.Called, &s.Falls); err != nil {
			return nil, b.about(side, err)
		}
		all = append(all, s)
	}
	return all, b.about(side, rows.Err())
}

// setSequences is one statement, of a DO block, that sets them all.
func setSequences(all []Sequence) string {
	calls := make([]string, len(all))
	for i, s := range all {
		calls[i] = fmt.Sprintf("(%s::regclass, %d::bigint, %t)", literal(s.Name), s.Last, s.Called)
	}
	return "PERFORM setval(s, last, called) FROM (VALUES " + strings.Join(calls, ", ") + ") v (s, last, called)"
}
