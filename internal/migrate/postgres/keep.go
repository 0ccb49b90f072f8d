package postgres

import (
	"context"
	"fmt"

	"godwit/internal/landscape"
)

// A side keeps its log for the other one until that has read it: one that is dead
// would have it filled up to the last byte. How much it may be is declared (KeepWAL).
// Servers that godwit configures keep no more by themselves; at every other one it is
// godwit that gives up the way, as long as it runs.

// keeps finds servers that keep less than declared, or without end.
func (b *Reader) keeps(ctx context.Context) (landscape.Findings, error) {
	var all landscape.Findings
	for _, side := range []string{Source, Target} {
		if b.KeepWAL == 0 || b.side(side).Configurable {
			continue
		}
		var megabytes int64
		if err := b.numbers(ctx, side, "SELECT coalesce(max(setting::bigint), -2) FROM pg_settings WHERE name = 'max_slot_wal_keep_size'", &megabytes); err != nil {
			return nil, err
		}
		mend := fmt.Sprintf("set max_slot_wal_keep_size = '%s' for the time of the migration, and reload", size(b.KeepWAL))
		switch {
		case megabytes < -1: // before 13
			all = append(all, b.finding(side, landscape.Warning, fmt.Sprintf("its log is kept without end for a side that cannot follow, and this major has no bound for it; "+
				"godwit gives the way up at keep_wal (%s), but only while godwit runs", size(b.KeepWAL)), "see that its disk has room for as long as the migration lasts, and that godwit is started with the machine"))
		case megabytes < 0:
			all = append(all, b.finding(side, landscape.Warning, fmt.Sprintf("max_slot_wal_keep_size is -1: it keeps its log without end for a side that cannot follow; "+
				"godwit gives the way up at keep_wal (%s), but only while godwit runs", size(b.KeepWAL)), mend))
		case megabytes<<20 < b.KeepWAL:
			all = append(all, b.finding(side, landscape.Warning, fmt.Sprintf("max_slot_wal_keep_size is %s, less than keep_wal (%s): a side that falls further behind must be synced again",
				size(megabytes<<20), size(b.KeepWAL)), mend))
		}
	}
	return all, nil
}

// size of bytes, in words of Postgres.
func size(bytes int64) string {
	for _, unit := range []struct {
		name  string
		shift int
	}{{"TB", 40}, {"GB", 30}, {"MB", 20}} {
		if bytes >= 1<<unit.shift && bytes%(1<<unit.shift) == 0 {
			return fmt.Sprintf("%d%s", bytes>>unit.shift, unit.name)
		}
	}
	return fmt.Sprintf("%d MB", bytes>>20)
}

// Kept is how many bytes of its log side keeps for the other one.
func (b *Reader) Kept(ctx context.Context, side string) (int64, error) {
	var kept int64
	err := b.numbers(ctx, side, `SELECT coalesce(max(pg_current_wal_lsn() - restart_lsn), 0)::bigint FROM pg_replication_slots WHERE slot_name = `+literal(b.outgoing(side)), &kept)
	return kept, err
}

// GiveUpWay lets side keep no log for the other one any more, which can follow it no
// longer. Nothing is asked of that one.
func (b *Writer) GiveUpWay(ctx context.Context, side string) error {
	return b.dropSlot(ctx, side, b.outgoing(side))
}
