package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// errOrphan: the target died at the very moment when a table was complete.
//
// A worker that has copied a table drops its slot on the source, and then
// commits that it did. A server that dies in between looks for the slot for
// ever: Postgres has no way to go on but to copy anew.
var errOrphan = errors.New("slot of a copied table is gone")

// orphanAge is how long a table must look like an orphan: between the two
// steps every table does for a moment.
const orphanAge = 3 * time.Second

// orphans notices tables that stay complete without their slot.
type orphans map[string]time.Time // slot, since when it is missed

// look is errOrphan when there is one.
func (o orphans) look(ctx context.Context, b *Reader) error {
	slots, err := b.expectedSlots(ctx)
	if err != nil || len(slots) == 0 {
		clear(o)
		return err
	}
	conn, err := b.watcher(ctx, Source)
	if err != nil {
		return err
	}
	there, err := column(ctx, conn, "SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = ANY ($1)", slots)
	if err != nil {
		return b.about(Source, err)
	}
	for slot := range o {
		if !slices.Contains(slots, slot) || slices.Contains(there, slot) {
			delete(o, slot)
		}
	}
	for _, slot := range slots {
		since, known := o[slot]
		switch {
		case slices.Contains(there, slot):
		case !known:
			o[slot] = time.Now()
		case time.Since(since) > orphanAge:
			return fmt.Errorf("%w: %s; the target died when it was complete (%s)", errOrphan, slot, b.uncopied(ctx))
		}
	}
	return nil
}

// expectedSlots are those that workers of the target will read from on the
// source: of tables whose rows are copied, and which are not in step yet.
func (b *Reader) expectedSlots(ctx context.Context) ([]string, error) {
	values, err := b.read(ctx, Target, fmt.Sprintf(`SELECT string_agg(format('pg_%%s_sync_%%s_%%s', s.oid, r.srrelid, c.system_identifier), ' ')
		FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid, pg_control_system() c
		WHERE s.subname = %s AND r.srsubstate = 'f'`, literal(b.subscription())))
	if err != nil {
		return nil, err
	}
	return strings.Fields(values[0]), nil
}
