package postgres

import (
	"context"
	"errors"
	"fmt"
)

// Abort removes everything of godwit from both sides, also what was copied to
// the target, and lets clients write on the source: as if nothing had been.
// ErrTruthMoved when the target holds the truth: that needs a rollback first.
// It is idempotent; when one side can't be reached the other is cleaned and
// the error says what is left.
func (b *Bridge) Abort(ctx context.Context) error {
	truth, err := b.truth(ctx)
	if err == nil && truth == Target {
		return fmt.Errorf("database %q: %w; roll back first", b.Database, ErrTruthMoved)
	}
	if err == nil && truth == "" {
		// Both are fenced: nobody writes, and the source has everything.
		err = b.Unfence(ctx, Source)
	}
	if err != nil && !errors.Is(err, ErrUnreachable) {
		return err
	}
	// The subscriptions first: they hold the slots of the other side.
	return errors.Join(
		b.unsubscribe(ctx, Target), b.unsubscribe(ctx, Source),
		b.strip(ctx, Source), b.wipeTarget(ctx))
}

// wipeTarget empties the target and strips it.
func (b *Bridge) wipeTarget(ctx context.Context) error {
	// While it is wiped, nobody may see half of it as the truth: the fence goes last.
	if err := b.wipe(ctx); err != nil {
		return err
	}
	return b.strip(ctx, Target)
}

// strip removes slots, publication, guards, fence and schema from side.
func (b *Bridge) strip(ctx context.Context, side string) error {
	if err := b.retire(ctx, side); err != nil {
		return err
	}
	conn, err := b.writer(ctx, side)
	if err != nil {
		return err
	}
	there, err := batch(ctx, conn, "SELECT to_regclass('godwit.fence')")
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
	_, err = b.write(ctx, side, "BEGIN", "SET LOCAL client_min_messages = error", "DROP SCHEMA IF EXISTS godwit CASCADE", "COMMIT")
	return err
}

// retire removes what replicates from side: slots and publication.
func (b *Bridge) retire(ctx context.Context, side string) error {
	for _, slot := range []string{b.outgoing(side), b.proof(side)} {
		if err := b.dropSlot(ctx, side, slot); err != nil {
			return err
		}
	}
	_, err := b.write(ctx, side, "BEGIN", "SET LOCAL client_min_messages = error", "DROP PUBLICATION IF EXISTS "+ident(b.publication()), "COMMIT")
	return err
}

// Finish ends the migration after the cutover: nothing of godwit is left on
// the target, and the source is left fenced. ErrState when the target does not
// hold the truth. It is idempotent.
func (b *Bridge) Finish(ctx context.Context) error {
	fenced, err := b.fenced(ctx, Source)
	if err != nil {
		return err
	}
	behind, err := b.fenced(ctx, Target)
	if err != nil {
		return err
	}
	if !fenced || behind {
		return fmt.Errorf("database %q: %w: the target does not hold the truth; cut over first", b.Database, ErrState)
	}
	return errors.Join(
		b.unsubscribe(ctx, Source), b.unsubscribe(ctx, Target),
		b.retire(ctx, Source), b.strip(ctx, Target))
}
