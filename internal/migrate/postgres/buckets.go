package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Rows whose keys sort otherwise on each side have no ranges in common. They are
// compared in buckets, by the md5 of their keys: one pass over the table on each side,
// both begun at the same instant, so that only what is written in that instant differs.

const bucketDigits = 3 // 4,096 buckets

// bucketOf is the bucket of a row, as SQL.
func (t table) bucketOf() string {
	return fmt.Sprintf("pg_catalog.left(pg_catalog.md5(%s), %d)", t.text(), bucketDigits)
}

// inBuckets is the condition that a row is in some buckets.
func (t table) inBuckets(buckets []string) string {
	quoted := make([]string, len(buckets))
	for i, bucket := range buckets {
		quoted[i] = literal(bucket)
	}
	return t.bucketOf() + " OPERATOR(pg_catalog.=) ANY (ARRAY[" + strings.Join(quoted, ", ") + "])"
}

// bucketSums is the query for the checksums of some buckets; nil: of all.
func (t table) bucketSums(only []string) string {
	where := "true"
	if only != nil {
		where = t.inBuckets(only)
	}
	return fmt.Sprintf("SELECT bucket, %s FROM (SELECT %s AS bucket, %s AS h FROM ONLY %s t WHERE %s) m GROUP BY bucket", sumOf, t.bucketOf(), rowSum, t.name, where)
}

// buckets compares a table by buckets.
func (c *comparison) buckets(ctx context.Context, t table) error {
	c.result.Chunks++
	one, suspects, err := c.unequalBuckets(ctx, t, nil)
	if err != nil {
		return err
	}
	for _, s := range one {
		c.result.Rows += s.Rows
	}
	if len(suspects) > 0 {
		c.result.Retried++
	}
	for tries := 0; tries < 3 && len(suspects) > 0; tries++ {
		if err := c.arrive(ctx); err != nil {
			return err
		}
		if _, suspects, err = c.unequalBuckets(ctx, t, suspects); err != nil {
			return err
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	rows, err := c.differing(ctx, chunk{table: t, buckets: suspects})
	if len(rows) > 0 {
		c.result.Differing = append(c.result.Differing, Differ{Table: t.name, Rows: rows})
	}
	return err
}

// unequalBuckets compares buckets on both sides at once; it returns those of truth, and
// which are not the same.
func (c *comparison) unequalBuckets(ctx context.Context, t table, only []string) (map[string]sum, []string, error) {
	sums := map[string]map[string]sum{Source: {}, Target: {}}
	sessions := map[string]*pgx.Conn{}
	for side := range sums {
		var err error
		if sessions[side], err = c.session(ctx, side); err != nil {
			return nil, nil, err
		}
	}
	group, both := errgroup.WithContext(ctx)
	for side, conn := range sessions {
		group.Go(func() error { return c.about(side, readBuckets(both, conn, t.bucketSums(only), sums[side])) })
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	one, two := sums[c.truth], sums[other(c.truth)]
	unequal := map[string]bool{}
	for bucket, s := range one {
		if two[bucket] != s {
			unequal[bucket] = true
		}
	}
	for bucket, s := range two {
		if one[bucket] != s {
			unequal[bucket] = true
		}
	}
	return one, slices.Sorted(maps.Keys(unequal)), nil
}

func readBuckets(ctx context.Context, conn *pgx.Conn, query string, all map[string]sum) error {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return err
	}
	var bucket string
	var s sum
	_, err = pgx.ForEachRow(rows, []any{&bucket, &s.Rows, &s.Text}, func() error {
		all[bucket] = s
		return nil
	})
	return err
}
