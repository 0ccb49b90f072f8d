package postgres

import (
	"context"
	"fmt"
	"time"
)

// oldestOpen names the transaction on a server that has been open for longest, of those
// that a slot waits for: those that write, in any of its databases; what only reads has no
// xid. pg_create_logical_replication_slot ends when all that were open have.
const oldestOpen = `SELECT who FROM (
		SELECT xact_start AS began, format('session %s (%s, role %s, database %s), open for %s s', pid, coalesce(nullif(application_name, ''), 'no name'), usename, datname, extract(epoch FROM clock_timestamp() - xact_start)::int) AS who FROM pg_stat_activity
			WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND NOT starts_with(application_name, 'godwit')
		UNION ALL SELECT prepared, format('prepared transaction %s (role %s, database %s), open for %s s', gid, owner, database, extract(epoch FROM clock_timestamp() - prepared)::int) FROM pg_prepared_xacts
	) t WHERE began < clock_timestamp() - interval '1 second' ORDER BY began LIMIT 1`

// waitsFor names what a slot on side waits for, with its age; "" when nothing does.
func (b *Reader) waitsFor(ctx context.Context, side string) (string, error) {
	conn, err := b.watcher(ctx, side)
	if err != nil {
		return "", err
	}
	found, err := column(ctx, conn, oldestOpen)
	if err != nil || len(found) == 0 {
		return "", b.about(side, err)
	}
	return found[0], nil
}

// blameOldest adds to an error of waiting what has been waited for on side.
func (b *Reader) blameOldest(ctx context.Context, side string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	who, failure := b.waitsFor(late, side)
	if failure != nil || who == "" {
		return err
	}
	return fmt.Errorf("%w; the oldest transaction on the %s is that of %s", err, side, who)
}

// sayWaits is how often a step that waits says for whom.
const sayWaits = 2 * time.Second

// telling does something, and says for whom it waits as long as it does. It looks
// through a session of its own: that of the Writer is busy.
func (b *Writer) telling(ctx context.Context, say func(what string), do func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		r := NewReader(b.pair)
		defer r.Close()
		tick := time.NewTicker(sayWaits)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if who, err := r.waitsFor(ctx, Source); err == nil && who != "" {
				say("waits for " + who)
			}
		}
	}()
	err := do()
	cancel()
	<-told
	return err
}
