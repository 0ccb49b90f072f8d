package postgres

import (
	"context"
	"errors"
	"fmt"

	"godwit/internal/landscape"
)

// Shared is a server and the databases of a migration that it holds: they share what
// it has for streams.
type Shared struct {
	Databases []int // which of the readers that were asked
	Slots     int   // replication slots that others leave free
	Senders   int   // WAL senders that others leave free
	side      string
	first     *Reader
}

// copyStreams is how many tables of one database are copied at a time, each through a
// slot and a sender of its own: max_sync_workers_per_subscription, as it is by default.
const copyStreams = 2

// sharedQuery names a server by the microsecond in which it started, which any role
// may ask. What these databases use already counts as free, and so do the slots from
// which tables are copied: they are theirs and end by themselves.
const sharedQuery = `SELECT pg_postmaster_start_time()::text,
	current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots
		WHERE NOT EXISTS (SELECT FROM unnest($1::text[]) own WHERE starts_with(slot_name, own)) AND slot_name NOT LIKE 'pg\_%\_sync\_%')::int,
	current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication
		WHERE NOT EXISTS (SELECT FROM unnest($1::text[]) own WHERE starts_with(application_name, own)) AND application_name NOT LIKE 'pg\_%\_sync\_%')::int`

// SharedServers are the servers on one side of several databases. The error is for
// those that could not be asked; the others are there.
func SharedServers(ctx context.Context, side string, readers []*Reader) ([]*Shared, error) {
	names := make([]string, len(readers))
	for i, r := range readers {
		names[i] = r.name()
	}
	known := map[string]*Shared{}
	var all []*Shared
	var failures []error
	for i, r := range readers {
		var server string
		s := &Shared{side: side, first: r}
		conn, err := r.watcher(ctx, side)
		if err == nil {
			err = r.about(side, conn.QueryRow(ctx, sharedQuery, names).Scan(&server, &s.Slots, &s.Senders))
		}
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if known[server] == nil {
			known[server] = s
			all = append(all, s)
		}
		known[server].Databases = append(known[server].Databases, i)
	}
	return all, errors.Join(failures...)
}

// AtATime is how many of its databases can have their rows copied at once: the stream
// of each, and a slot with which a switch proves that nothing is missing, come first.
func (s *Shared) AtATime() int {
	n := len(s.Databases)
	return min(n, max(1, (min(s.Slots, s.Senders)-2*n)/copyStreams))
}

// Room returns what the server lacks for all of its databases together; the rules of
// Check ask for one.
func (s *Shared) Room() landscape.Findings {
	n := len(s.Databases)
	if n < 2 {
		return nil
	}
	var all landscape.Findings
	need := func(what, setting string, free, need int) {
		if free < need {
			all = append(all, s.first.finding(s.side, landscape.Error,
				fmt.Sprintf("this server holds %d databases of this migration, and has %d %s free; they need %d", n, free, what, need),
				fmt.Sprintf("raise %s by %d and restart, or move fewer of them at a time, in migrations of their own", setting, need-free)))
		}
	}
	need("replication slots", "max_replication_slots", s.Slots, max(2*n, n+copyStreams))
	need("WAL senders", "max_wal_senders", s.Senders, n+copyStreams)
	return all
}
