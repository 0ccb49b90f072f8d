package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Sequence is where a sequence stands.
type Sequence struct {
	Name   string `json:"name"` // quoted, with its schema
	Last   int64  `json:"last"`
	Called bool   `json:"called"` // Last was given out; otherwise it is the next one
	Falls  bool   `json:"falls"`  // it counts downwards
	Cycles bool   `json:"cycles"` // it begins again when it has come to its end
}

// listSequences gives, for each sequence, the query that reads it.
const listSequences = `SELECT format('SELECT %L, last_value, is_called, %L::boolean, %L::boolean FROM %1$s', format('%I.%I', n.nspname, c.relname), q.seqincrement < 0, q.seqcycle)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence q ON q.seqrelid = c.oid
	WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ` + mine + ` ORDER BY 1`

// largeObjects counts them; no replication carries them.
const largeObjects = "SELECT count(*) FROM pg_largeobject_metadata"

// largeObjects is the error that there are some.
func (b *Writer) largeObjects(n string) error {
	return fmt.Errorf("%w: %s large objects are there, which are not replicated; move them into bytea columns, or remove them (vacuumlo)", ErrState, n)
}

// carryQueries make the statements that read all sequences of side, in one round
// trip. They are made before the write pause.
func (b *Writer) carryQueries(ctx context.Context, side string) ([]string, error) {
	conn, err := b.writer(ctx, side)
	if err != nil {
		return nil, err
	}
	parts, err := column(ctx, conn, listSequences)
	var queries []string
	for some := range slices.Chunk(parts, portion) {
		queries = append(queries, "BEGIN", "SELECT json_agg(s) FROM ("+strings.Join(some, " UNION ALL ")+") s (name, last, called, falls, cycles)", "COMMIT")
	}
	return queries, b.about(side, err)
}

// Sequences reads where all sequences of side stand.
func (b *Writer) Sequences(ctx context.Context, side string) ([]Sequence, error) {
	queries, err := b.carryQueries(ctx, side)
	if err != nil || len(queries) == 0 {
		return nil, err
	}
	values, err := b.write(ctx, side, queries...)
	if err != nil {
		return nil, err
	}
	return parseSequences(values)
}

// parseSequences reads what carryQueries answered.
func parseSequences(values []string) ([]Sequence, error) {
	var all []Sequence
	for _, text := range values {
		if text == "" { // of BEGIN and COMMIT
			continue
		}
		var some []Sequence
		if err := json.Unmarshal([]byte(text), &some); err != nil {
			return nil, fmt.Errorf("sequences: %w", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// setSequences are statements that set them all, while the side is fenced.
func setSequences(all []Sequence) []string {
	var statements []string
	for some := range slices.Chunk(all, portion) {
		calls := make([]string, len(some))
		for i, s := range some {
			calls[i] = fmt.Sprintf("(%s::regclass, %d::bigint, %t)", literal(s.Name), s.Last, s.Called)
		}
		statements = append(statements, "BEGIN", "SET LOCAL synchronous_commit = off", "SELECT count(setval(s, last, called)) FROM (VALUES "+strings.Join(calls, ", ")+
			") v (s, last, called) WHERE (SELECT godwit.stands())", "COMMIT")
	}
	return statements
}
