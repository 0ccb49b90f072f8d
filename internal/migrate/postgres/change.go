package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrRefused: a change of definitions is not made on both sides; nothing of it was
// done by the call that says so.
var ErrRefused = errors.New("the change is refused")

// Change is a change of definitions that both sides get: statements, which run in
// one transaction on each side. Where rows that come out of it are on their way, the
// other side gets it between the last row of before and the first one of after.
type Change struct {
	ID      string // what is done is noted on a side under it
	SQL     string
	Truth   string // side that holds the truth
	CatchUp bool   // that side has the change already: only the other one gets it
}

// Rehearsal is what a change did on the side that follows, before it was taken back.
type Rehearsal struct {
	Changes map[string]string `json:"changes"` // objects that are not as before, with their sums; "" is dropped
	Filled  map[string]string `json:"filled"`  // new columns of tables with rows, with what those have in them
}

// Said names the changes as people read them.
func (r Rehearsal) Said(before map[string]string) []string {
	now := maps.Clone(before)
	for object, sum := range r.Changes {
		if sum == "" {
			delete(now, object)
		} else {
			now[object] = sum
		}
	}
	return diff(before, now)
}

const (
	arrival  = 10 * time.Second // what a row may need to the other side when a change begins
	barrier  = "barrier"        // key of godwit.state: at which number of the marker the stream waits
	changed  = "changed"        // key of godwit.state: ID of the change that was made last
	passkey  = "pass"           // key of godwit.state: the session that the guards let through
	unplaced = ""               // of note_change: no place in the stream is marked
)

// Rehearse makes a change on the side that follows, looks what it did, and takes it
// back. ErrRefused says why it cannot be made on both sides.
func (b *Writer) Rehearse(ctx context.Context, c Change) (Rehearsal, error) {
	if err := b.mayChange(ctx, c); err != nil {
		return Rehearsal{}, err
	}
	follower := other(c.Truth)
	var r Rehearsal
	err := b.changing(ctx, follower, func(s *changing) (err error) {
		r, err = s.try(ctx, c, "")
		return errors.Join(err, s.takeBack(ctx))
	})
	if err != nil {
		return r, err
	}
	if len(r.Changes) == 0 {
		return r, refused("its statements change no definition; what only changes rows is replicated: run it where the truth is, on the %s", c.Truth)
	}
	if c.CatchUp {
		return r, b.sameAsThere(ctx, c, r)
	}
	return r, nil
}

// Said names what a rehearsal changed.
func (b *Writer) Said(ctx context.Context, c Change, r Rehearsal) ([]string, error) {
	before, err := b.noted(ctx, other(c.Truth))
	return r.Said(before), err
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// mayChange refuses where the sides are not in step, but for what CatchUp is there for.
func (b *Writer) mayChange(ctx context.Context, c Change) error {
	if err := b.refresh(ctx); err != nil {
		return err
	}
	if err := b.ready(ctx, c.Truth); err != nil {
		return err
	}
	if err := b.Unchanged(ctx, other(c.Truth)); err != nil {
		return err
	}
	err := b.Unchanged(ctx, c.Truth)
	switch {
	case c.CatchUp && err == nil:
		return refused("the definitions of the %s are those of the sync: there is nothing that the %s lacks; leave out --catch-up", c.Truth, other(c.Truth))
	case err != nil && !(c.CatchUp && errors.Is(err, ErrChanged)):
		return err
	}
	short, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	_, err = b.roundTrip(short, c.Truth)
	if c.CatchUp && short.Err() != nil && ctx.Err() == nil {
		return nil // it waits for these definitions
	}
	return err
}

// sameAsThere refuses statements that do not give the follower what the truth has.
func (b *Writer) sameAsThere(ctx context.Context, c Change, r Rehearsal) error {
	before, err := b.noted(ctx, c.Truth)
	if err != nil {
		return err
	}
	now, err := b.fingerprint(ctx, c.Truth)
	if err != nil {
		return err
	}
	there := Rehearsal{Changes: changesOf(before, now)}
	if there.Filled, err = b.filled(ctx, c.Truth, slices.Collect(maps.Keys(r.Filled))); err != nil {
		return err
	}
	mine, err := b.noted(ctx, other(c.Truth))
	if err != nil {
		return err
	}
	return b.compareChanges(ctx, c, before, mine, there, r)
}

// compareChanges is ErrRefused, naming the first difference, when the change there, on
// the truth, is not that here, on the other side.
func (b *Writer) compareChanges(ctx context.Context, c Change, beforeThere, beforeHere map[string]string, there, here Rehearsal) error {
	alike, err := b.sameMajor(ctx)
	if err != nil {
		return err
	}
	saidThere, saidHere := there.Said(beforeThere), here.Said(beforeHere)
	if !slices.Equal(saidThere, saidHere) {
		return refused("it does not do the same on both sides: on the %s %s, on the %s %s", c.Truth, list(saidThere), other(c.Truth), list(saidHere))
	}
	for _, object := range slices.Sorted(maps.Keys(there.Changes)) {
		if alike && !strings.HasPrefix(object, rightsOf) && beforeThere[object] == beforeHere[object] && there.Changes[object] != here.Changes[object] {
			return refused("%s would not be the same on both sides", object)
		}
	}
	for _, column := range slices.Sorted(maps.Keys(here.Filled)) {
		if there.Filled[column] != here.Filled[column] {
			return refused("rows that are there would have other values in %s on each side: give it no default, or a constant one, and fill it with UPDATE", column)
		}
	}
	return nil
}

func list(said []string) string {
	if len(said) == 0 {
		return "nothing"
	}
	return strings.Join(said, ", ")
}

// sameMajor: both servers are of one version, so that the sums of alike definitions are alike.
func (b *Reader) sameMajor(ctx context.Context) (bool, error) {
	const major = "SELECT current_setting('server_version_num')::int / 10000"
	source, err := b.read(ctx, Source, major)
	if err != nil {
		return false, err
	}
	target, err := b.read(ctx, Target, major)
	return err == nil && source[0] == target[0], err
}

// changesOf are the objects that are not as before, "" where they are gone.
func changesOf(before, now map[string]string) map[string]string {
	changes := map[string]string{}
	for object, sum := range now {
		if before[object] != sum {
			changes[object] = sum
		}
	}
	for object := range before {
		if _, there := now[object]; !there {
			changes[object] = ""
		}
	}
	return changes
}

// ChangeTruth makes a change where the truth is. The follower stops at it, so that
// it gets no row that it has no definitions for. Called again it does nothing.
// ErrRefused: it was not made, and the follower goes on.
func (b *Writer) ChangeTruth(ctx context.Context, c Change, r Rehearsal) error {
	done, err := b.isChanged(ctx, c.Truth, c.ID)
	if err != nil || done || c.CatchUp {
		return err
	}
	marked, err := b.write(ctx, c.Truth, "SELECT n FROM godwit.marker WHERE side = "+literal(c.Truth))
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(marked[0], 10, 64)
	if err != nil {
		return fmt.Errorf("marker of the %s: %w", c.Truth, err)
	}
	place := strconv.FormatInt(n+1, 10)
	if _, err := b.write(ctx, other(c.Truth), noteState(barrier, literal(place))); err != nil {
		return err
	}
	err = b.changing(ctx, c.Truth, func(s *changing) error {
		if err := b.changeThere(ctx, s, c, r, place); err != nil {
			return errors.Join(err, s.takeBack(ctx))
		}
		return s.commit(ctx)
	})
	if errors.Is(err, ErrRefused) {
		return errors.Join(err, b.liftBarrier(ctx, other(c.Truth)))
	}
	return err
}

func (b *Writer) changeThere(ctx context.Context, s *changing, c Change, r Rehearsal, place string) error {
	there, err := s.try(ctx, c, c.Truth)
	if err != nil {
		return err
	}
	if s.place != place {
		return fmt.Errorf("database %q: %w: somebody else writes in godwit.marker", b.Database, ErrState)
	}
	before, err := b.noted(ctx, c.Truth)
	if err != nil {
		return err
	}
	mine, err := b.noted(ctx, other(c.Truth))
	if err != nil {
		return err
	}
	return b.compareChanges(ctx, c, before, mine, there, r)
}

// isChanged: side has made a change.
func (b *Writer) isChanged(ctx context.Context, side, id string) (bool, error) {
	values, err := b.write(ctx, side, stateOf(changed))
	return err == nil && values[0] == id, err
}

func (b *Writer) liftBarrier(ctx context.Context, side string) error {
	_, err := b.write(ctx, side, "DELETE FROM godwit.state WHERE key = "+literal(barrier))
	return err
}

// ChangeOther makes a change on the side that follows, when everything of before has
// arrived there. Called again it does nothing. ErrRefused: that server refuses what
// it did not refuse in the rehearsal; it follows as far as it can without.
func (b *Writer) ChangeOther(ctx context.Context, c Change, r Rehearsal) error {
	follower := other(c.Truth)
	done, err := b.isChanged(ctx, follower, c.ID)
	if err != nil || done {
		return err
	}
	if !c.CatchUp {
		if err := b.awaitPlace(ctx, follower); err != nil {
			return err
		}
	}
	err = b.changing(ctx, follower, func(s *changing) error {
		here, err := s.try(ctx, c, unplaced)
		if err == nil && !maps.Equal(here.Changes, r.Changes) {
			err = refused("it does on the %s what it did not in the rehearsal: %s", follower, list(here.Said(nil)))
		}
		if err != nil {
			return errors.Join(err, s.takeBack(ctx))
		}
		return s.commit(ctx)
	})
	if errors.Is(err, ErrRefused) {
		return errors.Join(err, b.liftBarrier(ctx, follower))
	}
	return err
}

// awaitPlace waits until the stream to side stands at the barrier.
func (b *Writer) awaitPlace(ctx context.Context, side string) error {
	const waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 1735353464 AND objid = 1"
	err := until(ctx, 5*time.Millisecond, func() (bool, error) {
		values, err := b.write(ctx, side, waits)
		return err == nil && values[0] != "0", err
	})
	if err != nil {
		return fmt.Errorf("waiting for the rows of before the change to reach the %s: %w", side, err)
	}
	return nil
}

// Remember notes the definitions of both sides as those that belong together, if they
// are what the change made of them.
func (b *Writer) Remember(ctx context.Context, c Change, r Rehearsal) error {
	for _, side := range []string{c.Truth, other(c.Truth)} {
		err := b.Unchanged(ctx, side)
		if err == nil {
			continue // remembered already
		}
		if !errors.Is(err, ErrChanged) {
			return err
		}
		before, err := b.noted(ctx, side)
		if err != nil {
			return err
		}
		now, err := b.fingerprint(ctx, side)
		if err != nil {
			return err
		}
		if !slices.Equal(slices.Sorted(maps.Keys(changesOf(before, now))), slices.Sorted(maps.Keys(r.Changes))) {
			return refused("meanwhile somebody else changed definitions on the %s: %s", side, list(diff(before, now)))
		}
		if err := b.rememberFingerprint(ctx, side, now); err != nil {
			return err
		}
	}
	return nil
}

// Unrehearse removes what a rehearsal that was cut off has left.
func (b *Writer) Unrehearse(ctx context.Context, c Change) error {
	return b.dropChanger(ctx, other(c.Truth), "")
}
