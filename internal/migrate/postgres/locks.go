package postgres

import (
	"context"
	"fmt"
	"strconv"

	"godwit/internal/landscape"
)

// What godwit does in portions needs few locks. This is what cannot be: pg_dump, and
// a server that subscribes, lock all tables at once; the target, which makes all
// definitions in one transaction, all that it makes.

// lockRoom is for how many locks a server has room, of all its sessions together, as
// (room, sessions): so many sessions bring room for max_locks_per_transaction each.
const lockRoom = `SELECT current_setting('max_locks_per_transaction')::bigint * n AS room, n AS sessions FROM (SELECT (current_setting('max_connections')::bigint
	+ current_setting('max_prepared_transactions')::bigint + current_setting('max_worker_processes')::bigint + current_setting('max_wal_senders')::bigint
	+ coalesce(current_setting('autovacuum_worker_slots', true), current_setting('autovacuum_max_workers'))::bigint + 1) AS n) s`

// locksToRead is how many locks reading all definitions of the source takes at once,
// and subscribing there later: each table, and what views read.
const locksToRead = `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm')
	AND c.relpersistence <> 't' AND ` + mine

// locksInUse are those that sessions hold now, each a second time: they may need as
// many more.
const locksInUse = `SELECT 2 * count(*) + 64 FROM pg_locks WHERE NOT fastpath`

// locksToMake is how many locks making all of it takes: every object, and some that
// belong to one.
const locksToMake = `SELECT 1000 + (n * 5) / 4 FROM (SELECT (SELECT count(*) FROM pg_class WHERE oid >= 16384) + (SELECT count(*) FROM pg_proc WHERE oid >= 16384)
	+ (SELECT count(*) FROM pg_operator WHERE oid >= 16384) + (SELECT count(*) FROM pg_type WHERE oid >= 16384 AND typrelid = 0 AND typcategory <> 'A') AS n) o`

// numbers asks for whole numbers, one row of them.
func (b *Reader) numbers(ctx context.Context, side, query string, to ...any) error {
	conn, err := b.watcher(ctx, side)
	if err == nil {
		err = conn.QueryRow(ctx, query).Scan(to...)
	}
	return b.about(side, err)
}

// locks finds a server whose lock table is too small for what is not done in portions.
func (b *Reader) locks(ctx context.Context) (landscape.Findings, error) {
	var all landscape.Findings
	var need, others, room, sessions int64
	for _, q := range []struct {
		query string
		to    []any
	}{{locksToRead, []any{&need}}, {locksInUse, []any{&others}}, {lockRoom, []any{&room, &sessions}}} {
		if err := b.numbers(ctx, Source, q.query, q.to...); err != nil {
			return nil, err
		}
	}
	if need+others > room {
		all = append(all, b.finding(Source, landscape.Error, fmt.Sprintf("its %d tables and views have to be locked at the same time when their definitions are read, "+
			"and there is room for %d locks, of which others need up to %d", need, room, others), lockMend(need+others, sessions)))
	}
	if b.Target.Configurable {
		return all, nil // sync does it
	}
	if err := b.numbers(ctx, Source, locksToMake, &need); err != nil {
		return nil, err
	}
	if err := b.numbers(ctx, Target, lockRoom, &room, &sessions); err != nil {
		return nil, err
	}
	if need > room {
		all = append(all, b.finding(Target, landscape.Error, fmt.Sprintf("making everything that the source has takes up to %d locks at the same time, and there is room for %d", need, room),
			lockMend(need, sessions)))
	}
	return all, nil
}

// lockMend names the number to set.
func lockMend(need, sessions int64) string {
	return fmt.Sprintf("set max_locks_per_transaction = %d, in postgresql.conf or in the parameter group, and restart this server", locksEach(need, sessions))
}

// locksEach is the max_locks_per_transaction with which there is room for need.
func locksEach(need, sessions int64) int64 { return (need + sessions - 1) / sessions }

// TargetSettings are settings that the target's server should have before a sync:
// room for the locks of everything that the source has, and how much log it keeps for
// the way back. One that has more room already keeps it.
func (b *Reader) TargetSettings(ctx context.Context) (map[string]string, error) {
	settings := map[string]string{}
	if b.KeepWAL > 0 {
		settings["max_slot_wal_keep_size"] = strconv.FormatInt(max(1, b.KeepWAL>>20), 10) + "MB"
	}
	var need, room, sessions int64
	if err := b.numbers(ctx, Source, locksToMake, &need); err != nil {
		return nil, err
	}
	if err := b.numbers(ctx, Target, lockRoom, &room, &sessions); err != nil {
		return nil, err
	}
	if need > room {
		settings["max_locks_per_transaction"] = strconv.FormatInt(locksEach(need, sessions), 10)
	}
	return settings, nil
}
