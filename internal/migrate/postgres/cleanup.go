package postgres

import (
	"context"
	"errors"
	"fmt"
)

// Abort removes everything of godwit from both sides, also what was copied to
// the target, and lets clients write on the source: as if nothing had been.
// ErrTruthMoved when the target holds the truth, or may: that needs a rollback
// first. It is idempotent. When the target can't be reached the source is
// cleaned and the error says what is left; without the source nothing is done,
// for it alone knows who holds the truth. What is another's stays.
func (b *Writer) Abort(ctx context.Context) error {
	source, err := b.fenced(ctx, Source)
	if errors.Is(err, ErrOwned) {
		return b.abortTarget(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	target, err := b.fenced(ctx, Target)
	if err != nil && (source || !errors.Is(err, ErrUnreachable)) {
		return err
	}
	if source {
		if err := b.giveBack(ctx, target); err != nil {
			return err
		}
	}
	// The subscriptions first: they hold the slots of the other side.
	stopped := b.unsubscribe(ctx, Target)
	if err := errors.Join(b.unsubscribe(ctx, Source), b.strip(ctx, Source)); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrSource, err), stopped)
	}
	return errors.Join(stopped, b.wipeTarget(ctx))
}

// giveBack opens a fenced source, if it has everything: the target is fenced
// too, and the source does not follow it.
func (b *Writer) giveBack(ctx context.Context, targetFenced bool) error {
	follows, err := b.streams(ctx, Source)
	if err != nil {
		return err
	}
	if !targetFenced || follows {
		return fmt.Errorf("database %q: %w; roll back first", b.Database, ErrTruthMoved)
	}
	return b.Unfence(ctx, Source)
}

// wipeTarget empties the target and strips it.
func (b *Writer) wipeTarget(ctx context.Context) error {
	// While it is wiped, nobody may see half of it as the truth: the fence goes last.
	if err := b.wipe(ctx, false); err != nil {
		return err
	}
	if err := b.dropSettings(ctx, nil); err != nil {
		return err
	}
	return b.strip(ctx, Target)
}

// strip removes slots, publication, guards, fence and schema from side.
func (b *Writer) strip(ctx context.Context, side string) error {
	if err := b.retire(ctx, side); err != nil {
		return err
	}
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	there, err := batch(ctx, conn, apparatusIn("fence"))
	if err != nil {
		return b.about(side, err)
	}
	if there[0] != "" {
		if err := b.Unfence(ctx, side); err != nil {
			return err
		}
	}
	if err := b.unguard(ctx, side); err != nil {
		return err
	}
	if err := b.dropOwnRoles(ctx, side, b.ownRoles()...); err != nil {
		return err
	}
	_, err = b.write(ctx, side, "BEGIN", "SET LOCAL client_min_messages = error", dropApparatus, "COMMIT")
	return err
}

// retire removes what replicates from side: slots, publication, and keys that were
// given for them.
func (b *Writer) retire(ctx context.Context, side string) error {
	slots, err := b.copiers(ctx, side)
	if err != nil {
		return err
	}
	for _, slot := range append(slots, b.outgoing(side), b.proof(side)) {
		if err := b.dropSlot(ctx, side, slot); err != nil {
			return err
		}
	}
	if err := b.unpublish(ctx, side); err != nil {
		return err
	}
	return b.takeKeys(ctx, side)
}

// copiers are the slots on side from which the other side copies rows. Its
// server makes and drops them by itself, but when it died they stay.
func (b *Writer) copiers(ctx context.Context, side string) ([]string, error) {
	noted, err := b.write(ctx, side, apparatusIn("state"))
	if err != nil || noted[0] == "" {
		return nil, err
	}
	conn, err := b.writer(ctx, side)
	if err != nil {
		return nil, err
	}
	slots, err := column(ctx, conn, `SELECT s.slot_name::text FROM pg_replication_slots s JOIN godwit.state n ON n.key = 'copiers'
		WHERE s.slot_name LIKE n.value AND s.database = current_database()`)
	return slots, b.about(side, err)
}

// noteCopiers notes on the source how the server of the target names them.
func (b *Writer) noteCopiers(ctx context.Context) error {
	names, err := b.write(ctx, Target, fmt.Sprintf(`SELECT format('pg\_%%s\_sync\_%%%%\_%%s', s.oid, c.system_identifier)
		FROM pg_subscription s, pg_control_system() c WHERE s.subname = %s`, literal(b.subscription())))
	if err != nil {
		return err
	}
	_, err = b.write(ctx, Source, noteState("copiers", literal(names[0])))
	return err
}

// FinishAlone is Finish for a source that is gone for good: nothing is asked of it,
// and whatever godwit made there stays; see ByHand. ErrState when the target does
// not hold the truth: it is fenced, and not inside a rollback that was given up.
func (b *Writer) FinishAlone(ctx context.Context, inside bool) error {
	there, err := b.read(ctx, Target, apparatusIn("fence"))
	if err != nil || there[0] == "" {
		return err // it was finished already
	}
	fenced, err := b.fenced(ctx, Target)
	if err != nil {
		return err
	}
	if fenced && !inside {
		return fmt.Errorf("database %q: %w: the target is fenced: the source held the truth, or was about to", b.Database, ErrState)
	}
	return errors.Join(b.unsubscribe(ctx, Target), b.strip(ctx, Target))
}

// AbortAlone is Abort for a source that is gone for good: the target is emptied.
// ErrTruthMoved when it may hold the truth.
func (b *Writer) AbortAlone(ctx context.Context) error {
	there, err := b.read(ctx, Target, apparatusIn("fence"))
	if err != nil || there[0] == "" {
		return err // nothing of godwit is there
	}
	fenced, err := b.fenced(ctx, Target)
	if err != nil {
		return err
	}
	if !fenced {
		return fmt.Errorf("database %q: %w", b.Database, ErrTruthMoved)
	}
	return errors.Join(b.unsubscribe(ctx, Target), b.wipeTarget(ctx))
}

// Finish ends the migration after the cutover: nothing of godwit is left on
// the target, and the source is left fenced. ErrState when the target does not
// hold the truth. It is idempotent.
func (b *Writer) Finish(ctx context.Context) error {
	fenced, err := b.fenced(ctx, Source)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	behind, err := b.fenced(ctx, Target)
	if err != nil {
		return err
	}
	if !fenced || behind {
		return fmt.Errorf("database %q: %w: the target does not hold the truth; cut over first", b.Database, ErrState)
	}
	if err := errors.Join(b.unsubscribe(ctx, Source), b.retire(ctx, Source), b.dropOwnRoles(ctx, Source, b.ownRoles()...)); err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	return errors.Join(b.unsubscribe(ctx, Target), b.strip(ctx, Target))
}
