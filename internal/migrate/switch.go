package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"godwit/internal/journal"
	"godwit/internal/migrate/postgres"
)

// Switch moves the truth of several databases from one side to the other:
// cutover and rollback are the same list.
type Switch struct {
	plan    Plan
	from    Side
	to      Side
	writers []*postgres.Writer
	traffic Traffic

	deadline  time.Time // end of the write pause; zero before the hold
	sequences [][]postgres.Sequence
}

// NewSwitch makes a switch as planned. Who made the writers closes them.
func NewSwitch(p Plan, writers []*postgres.Writer, t Traffic) *Switch {
	return &Switch{plan: p, from: p.From, to: p.From.Other(), writers: writers, traffic: t,
		sequences: make([][]postgres.Sequence, len(writers))}
}

// Steps is the order of a cutover, and of a rollback. From hold to release
// writes wait; whatever fails before open is taken back, and clients go on
// where they were.
func (s *Switch) Steps() []journal.Step {
	pause := s.plan.MaxPause
	return []journal.Step{
		{Name: "prepare", Do: s.prepare, Undo: s.unprepare, Budget: prepareBudget}, // sessions, slots, lag, old requests; nobody waits yet
		{Name: "hold", Do: s.hold, Undo: s.letGo, Budget: pause},                   // new requests wait
		{Name: "drain", Do: s.drain, Budget: pause},                                // requests in flight end
		{Name: "fence", Do: s.fence, Undo: s.unfence, Budget: pause},               // from refuses writes of every role
		{Name: "catch-up", Do: s.catchUp, Budget: pause},                           // to has replayed the fence
		{Name: "turn", Do: s.turn, Undo: s.unturn, Budget: pause},                  // stream ends, sequences carried
		{Name: "open", Do: s.open, Budget: pause, PointOfNoReturn: true},           // to accepts writes
		{Name: "shift", Do: s.shift},                                               // the route points to it
		{Name: "release", Do: s.release},                                           // requests go on
		{Name: "prove", Do: s.prove, Budget: afterBudget},                          // nobody wrote behind the fence
		{Name: "reverse", Do: s.reverse, Budget: afterBudget},                      // from follows to
	}
}

// each does something for all databases at once.
func (s *Switch) each(ctx context.Context, do func(ctx context.Context, i int, b *postgres.Writer) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, b := range s.writers {
		group.Go(func() error { return do(ctx, i, b) })
	}
	return group.Wait()
}

// everyone is each, but a failure at one database does not stop the others.
func (s *Switch) everyone(ctx context.Context, do func(ctx context.Context, b *postgres.Writer) error) error {
	failures := make([]error, len(s.writers))
	s.each(ctx, func(_ context.Context, i int, b *postgres.Writer) error {
		failures[i] = do(ctx, b)
		return nil
	})
	return errors.Join(failures...)
}

// paused bounds ctx by the write pause as a whole.
func (s *Switch) paused(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, s.deadline, fmt.Errorf("%w: max_pause is %v", ErrPause, s.plan.MaxPause))
}

func (s *Switch) prepare(ctx context.Context, _ *journal.Notes) error {
	err := s.each(ctx, func(ctx context.Context, _ int, b *postgres.Writer) error { return b.Prepare(ctx, string(s.from)) })
	if err != nil {
		return err
	}
	return s.traffic.Settle(ctx)
}

// unprepare leaves slots behind where a side can't be reached: the next
// prepare or abort drops them.
func (s *Switch) unprepare(ctx context.Context, _ *journal.Notes) error {
	ctx, cancel := context.WithTimeout(ctx, undoPatience)
	defer cancel()
	err := s.everyone(ctx, func(ctx context.Context, b *postgres.Writer) error { return b.Unprepare(ctx, string(s.from)) })
	if errors.Is(err, postgres.ErrUnreachable) || ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Switch) hold(ctx context.Context, _ *journal.Notes) error {
	s.deadline = time.Now().Add(s.plan.MaxPause)
	return s.traffic.Hold(ctx, s.plan.lease())
}

func (s *Switch) letGo(ctx context.Context, notes *journal.Notes) error {
	if err := s.traffic.Route(ctx, s.from); err != nil {
		return err
	}
	return s.release(ctx, notes)
}

func (s *Switch) drain(ctx context.Context, _ *journal.Notes) error {
	ctx, cancel := s.paused(ctx)
	defer cancel()
	if err := s.traffic.Drained(ctx); err != nil {
		return fmt.Errorf("requests are still in flight: %w", orCause(ctx, err))
	}
	return nil
}

func (s *Switch) fence(ctx context.Context, notes *journal.Notes) error {
	ctx, cancel := s.paused(ctx)
	defer cancel()
	positions := make([]postgres.Position, len(s.writers))
	err := s.each(ctx, func(ctx context.Context, i int, b *postgres.Writer) (err error) {
		positions[i], err = b.Fence(ctx, string(s.from))
		return err
	})
	if err != nil {
		return orCause(ctx, err)
	}
	for i, b := range s.writers {
		notes.Set("fence:"+b.Database, positions[i].String())
	}
	return nil
}

// unfence comes before the release, so that what waited can be written.
func (s *Switch) unfence(ctx context.Context, _ *journal.Notes) error {
	return s.everyone(ctx, func(ctx context.Context, b *postgres.Writer) error { return b.Unfence(ctx, string(s.from)) })
}

// catchUp waits for the fence to arrive; meanwhile it looks whether somebody
// changed a definition, and reads the sequences.
func (s *Switch) catchUp(ctx context.Context, notes *journal.Notes) error {
	ctx, cancel := s.paused(ctx)
	defer cancel()
	err := s.each(ctx, func(ctx context.Context, i int, b *postgres.Writer) error {
		position, err := postgres.ParsePosition(notes.Get("fence:" + b.Database))
		if err != nil {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return b.CaughtUp(ctx, string(s.from), position) })
		group.Go(func() error { return b.StillUnchanged(ctx, string(s.from)) })
		group.Go(func() (err error) {
			s.sequences[i], err = b.Sequences(ctx, string(s.from))
			return err
		})
		return group.Wait()
	})
	return orCause(ctx, err)
}

func (s *Switch) turn(ctx context.Context, _ *journal.Notes) error {
	ctx, cancel := s.paused(ctx)
	defer cancel()
	err := s.each(ctx, func(ctx context.Context, i int, b *postgres.Writer) error {
		return b.Turn(ctx, string(s.from), s.sequences[i])
	})
	return orCause(ctx, err)
}

// unturn must not keep from fenced because to can't be reached: the next
// prepare starts a stream that was left stopped.
func (s *Switch) unturn(ctx context.Context, _ *journal.Notes) error {
	ctx, cancel := context.WithTimeout(ctx, undoPatience)
	defer cancel()
	err := s.everyone(ctx, func(ctx context.Context, b *postgres.Writer) error { return b.Unturn(ctx, string(s.from)) })
	if errors.Is(err, postgres.ErrUnreachable) || ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Switch) open(ctx context.Context, _ *journal.Notes) error {
	return s.each(ctx, func(ctx context.Context, _ int, b *postgres.Writer) error { return b.Open(ctx, string(s.to)) })
}

func (s *Switch) shift(ctx context.Context, _ *journal.Notes) error {
	return s.traffic.Route(ctx, s.to)
}

func (s *Switch) release(ctx context.Context, notes *journal.Notes) error {
	held, err := s.traffic.Release(ctx)
	if err != nil {
		return err
	}
	notes.Set("held", heldNote(held))
	s.deadline = time.Time{}
	return nil
}

// prove ends the last sessions on from and notes what was committed behind the fence. That is a finding of the
// report, not a failure: clients write on the other side already.
func (s *Switch) prove(ctx context.Context, notes *journal.Notes) error {
	violations := make([]*postgres.Violation, len(s.writers))
	err := s.each(ctx, func(ctx context.Context, i int, b *postgres.Writer) error {
		position, err := postgres.ParsePosition(notes.Get("fence:" + b.Database))
		if err != nil {
			return err
		}
		if err := b.Evict(ctx, string(s.from)); err != nil {
			return err
		}
		violations[i], err = b.Prove(ctx, string(s.from), position)
		return err
	})
	if err != nil {
		return err
	}
	for i, b := range s.writers {
		notes.Set("proof:"+b.Database, violationNote(violations[i]))
	}
	return nil
}

func (s *Switch) reverse(ctx context.Context, _ *journal.Notes) error {
	return s.each(ctx, func(ctx context.Context, _ int, b *postgres.Writer) error { return b.Reverse(ctx, string(s.from)) })
}

// orCause says why ctx ended when that is why something failed: drivers only
// know that it did.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
