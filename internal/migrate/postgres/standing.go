package postgres

import (
	"context"
	"errors"
	"fmt"

	"godwit/internal/landscape"
)

// standing finds what a migration that is under way, or one before it, has left
// behind, and what has gone wrong with it since.
func (b *Reader) standing(ctx context.Context) (landscape.Findings, error) {
	var all landscape.Findings
	for _, side := range []string{Source, Target} {
		values, err := b.read(ctx, side, "SELECT pg_is_in_recovery()")
		if err != nil {
			return all, err
		}
		if values[0] == "t" {
			all = append(all, b.finding(side, landscape.Error, "it is a standby: nothing can be made there", "give the URL of its primary, or promote it"))
		}
	}
	follows, err := b.subscribed(ctx, Target)
	if err != nil {
		return all, err
	}
	fenced, err := b.fenced(ctx, Source)
	if err != nil {
		return all, err
	}
	if !follows {
		if fenced {
			all = append(all, b.finding(Source, landscape.Error, "it is fenced by an earlier migration: it refuses writes",
				"open it with the SQL that godwit migrate by-hand prints, then check again"))
		}
		return all, nil
	}
	return b.wayOpen(ctx, all)
}

// wayOpen finds what closes the way of a migration that is under way.
func (b *Reader) wayOpen(ctx context.Context, all landscape.Findings) (landscape.Findings, error) {
	truth, err := b.truth(ctx)
	if err != nil {
		return all, err
	}
	for _, side := range []string{Source, Target} {
		err := b.Unchanged(ctx, side)
		switch {
		case errors.Is(err, ErrChanged):
			mend := ChangedMend
			if truth != "" && side != truth {
				mend = "undo it there: the " + truth + " holds the truth"
			}
			all = append(all, b.finding(side, landscape.Error, err.Error(), mend))
		case err != nil && !errors.Is(err, ErrState): // nothing is noted while rows are copied
			return all, err
		}
	}
	if truth == "" {
		return all, nil
	}
	lost, err := b.lostSlot(ctx, truth)
	if err == nil && lost != "" {
		all = append(all, b.finding(truth, landscape.Error, lost, LostMend))
	}
	return all, err
}

// LostMend is what to do when a side cannot follow any more.
const LostMend = "before a cutover: godwit migrate abort, then sync again; after it there is no way back: go on, and godwit migrate finish"

// ChangedMend is what to do about ErrChanged: definitions are not replicated.
const ChangedMend = "give the other side the same: godwit migrate apply FILE --catch-up, where FILE has the statements that were run; or undo them"

// Follows says that the target refuses writes: it does not hold the truth.
func (b *Reader) Follows(ctx context.Context) (bool, error) { return b.fenced(ctx, Target) }

// Ways finds what has closed the way to the other side since the sync.
func (b *Reader) Ways(ctx context.Context) (landscape.Findings, error) {
	return b.wayOpen(ctx, landscape.Findings{})
}

// What has become of the log that is kept for the other side: wal_status of its slot.
const (
	slotGone       = "gone" // there is no slot
	slotLost       = "lost"
	slotUnreserved = "unreserved" // about to be lost
)

func (b *Reader) slotStatus(ctx context.Context, from string) (string, error) {
	values, err := b.read(ctx, from, "SELECT coalesce(max(coalesce(to_jsonb(s)->>'wal_status', 'reserved')), '"+slotGone+"') FROM pg_replication_slots s WHERE slot_name = "+literal(b.outgoing(from)))
	if err != nil {
		return "", err
	}
	return values[0], nil
}

// lostSlot says that the log which the other side still needs is gone, or about to
// go; "" when it is kept.
func (b *Reader) lostSlot(ctx context.Context, from string) (string, error) {
	status, err := b.slotStatus(ctx, from)
	switch status {
	case slotGone:
		return fmt.Sprintf("no log is kept for the %s any more, its slot is gone: it cannot follow", other(from)), err
	case slotLost:
		return fmt.Sprintf("the log that the %s still needs is lost (max_slot_wal_keep_size): it cannot follow", other(from)), err
	case slotUnreserved:
		return fmt.Sprintf("the log that the %s still needs is about to be lost (unreserved, max_slot_wal_keep_size)", other(from)), err
	}
	return "", err
}
