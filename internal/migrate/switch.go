package migrate

import (
	"cmp"
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

	// end is when the fence ends by itself, and with it everything that is tried
	// inside the write pause; zero when another engine began it.
	end     time.Time
	settled []bool // by database: it is known what its side decided
}

// NewSwitch makes a switch as planned. Who made the writers closes them.
func NewSwitch(p Plan, writers []*postgres.Writer, t Traffic) *Switch {
	return &Switch{plan: p, from: p.From, to: p.From.Other(), writers: writers, traffic: t, settled: make([]bool, len(writers))}
}

// Steps is the order of a cutover, and of a rollback. From hold to release
// writes wait; whatever fails before open is taken back, and clients go on
// where they were.
//
// The fence ends by itself. Until from has decided that it stays, nobody relies on
// it, and nobody needs to reach from to take it back; afterwards nothing is
// promoted that from has not let go.
func (s *Switch) Steps() []journal.Step {
	pause := s.plan.MaxPause
	return []journal.Step{
		{Name: "prepare", Do: s.prepare, Undo: s.unprepare, Budget: prepareBudget},        // sessions, slots, lag, old requests; nobody waits yet
		{Name: "hold", Do: s.hold, Undo: s.letGo, Budget: pause},                          // new requests wait
		{Name: "drain", Do: s.drain, Budget: pause},                                       // requests in flight end
		{Name: "fence", Do: s.fence, Undo: s.unfence, Budget: pause},                      // from refuses writes of every role, for a time
		{Name: "catch-up", Do: s.catchUp, Budget: pause},                                  // to has replayed the fence; its stream ends
		{Name: "decide", Do: s.decide, Undo: s.undecide, Budget: pause},                   // from gives the truth away, if its fence still stands
		{Name: "open", Do: s.open, Budget: max(pause, openBudget), PointOfNoReturn: true}, // sequences carried; to accepts writes
		{Name: "shift", Do: s.shift},                                                      // the route points to it
		{Name: "release", Do: s.release},                                                  // requests go on
		{Name: "prove", Do: s.prove, Budget: afterBudget},                                 // nobody wrote behind the fence
		{Name: "reverse", Do: s.reverse, Budget: afterBudget},                             // from follows to
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
	return context.WithDeadlineCause(ctx, s.end, s.pauseIsOver())
}

func (s *Switch) pauseIsOver() error {
	return fmt.Errorf("%w: max_pause is %v", ErrPause, s.plan.MaxPause)
}

func (s *Switch) prepare(ctx context.Context, _ *journal.Notes) error {
	err := s.each(ctx, func(ctx context.Context, _ int, b *postgres.Writer) error { return b.Prepare(ctx, string(s.from)) })
	if err != nil {
		return err
	}
	return s.traffic.Settle(ctx)
}

// unprepare leaves slots behind where a side can't be reached: the next prepare
// or abort drops them. Clients no longer wait when it runs.
func (s *Switch) unprepare(ctx context.Context, notes *journal.Notes) error {
	ctx, cancel := context.WithTimeout(ctx, undoPatience)
	defer cancel()
	err := s.everyone(ctx, func(ctx context.Context, b *postgres.Writer) error { return b.Unprepare(ctx, string(s.from)) })
	if errors.Is(err, postgres.ErrUnreachable) || ctx.Err() != nil {
		notes.Set(noteLeft, fmt.Sprintf("what was prepared could not be removed everywhere, and its slots keep the log there until the next switch or abort: %v", cmp.Or(err, ctx.Err())))
		return nil
	}
	return err
}

// noteLeft is what a switch that was undone has left.
const noteLeft = "left"

// hold begins the write pause. Its lease ends with it, and a little after the
// fence: whatever becomes of this engine, clients are let go to a side that takes
// writes.
func (s *Switch) hold(ctx context.Context, _ *journal.Notes) error {
	s.end = time.Now().Add(s.plan.MaxPause - s.plan.margin())
	return s.traffic.Hold(ctx, s.plan.MaxPause-s.plan.margin()/2, s.from)
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
		return fmt.Errorf("requests are still in flight: %w", s.orCause(ctx, err))
	}
	return nil
}

func (s *Switch) fence(ctx context.Context, notes *journal.Notes) error {
	ctx, cancel := s.paused(ctx)
	defer cancel()
	positions := make([]postgres.Position, len(s.writers))
	err := s.each(ctx, func(ctx context.Context, i int, b *postgres.Writer) (err error) {
		positions[i], err = b.Fence(ctx, string(s.from), s.end)
		return err
	})
	if err != nil {
		return s.orCause(ctx, err)
	}
	for i, b := range s.writers {
		notes.Set("fence:"+b.Database, positions[i].String())
	}
	return nil
}

// unfence comes before the release, so that what waited can be written. Where from
// can't be reached it waits until its fence has ended by itself.
func (s *Switch) unfence(ctx context.Context, _ *journal.Notes) error {
	end := s.end
	if end.IsZero() { // another engine raised it, for so long at most
		end = time.Now().Add(s.plan.MaxPause)
	}
	within, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	err := s.everyone(within, func(ctx context.Context, b *postgres.Writer) error { return b.Unfence(ctx, string(s.from)) })
	if err == nil {
		return nil
	}
	<-within.Done()
	return context.Cause(ctx)
}

// catchUp waits for the fence to arrive.
func (s *Switch) catchUp(ctx context.Context, notes *journal.Notes) error {
	ctx, cancel := s.paused(ctx)
	defer cancel()
	err := s.each(ctx, func(ctx context.Context, _ int, b *postgres.Writer) error {
		position, err := postgres.ParsePosition(notes.Get("fence:" + b.Database))
		if err != nil {
			return err
		}
		return b.CatchUp(ctx, string(s.from), position, s.end)
	})
	return s.orCause(ctx, err)
}

// decide has from give the truth away: all databases or, by undecide, none. While it
// does, clients wait until an engine that hangs now has been replaced: the end of
// their lease would lead them to from, which may not open any more. Where they were let
// go already, nothing is decided.
func (s *Switch) decide(ctx context.Context, notes *journal.Notes) (err error) {
	ctx, cancel := s.paused(ctx)
	defer cancel()
	if err := s.traffic.Hold(ctx, hungLease, s.from); err != nil {
		return s.orCause(ctx, fmt.Errorf("clients do not wait any more: %w", err))
	}
	defer func() {
		if err != nil { // this engine lives: they wait no longer than they were to
			s.renew(ctx, max(time.Until(s.end.Add(s.plan.margin()/2)), time.Millisecond), s.from)
		}
	}()
	failures, sequences := make([]error, len(s.writers)), make([][]postgres.Sequence, len(s.writers))
	s.each(ctx, func(ctx context.Context, i int, b *postgres.Writer) error {
		sequences[i], failures[i] = b.Decide(ctx, string(s.from), s.end)
		s.settled[i] = errors.Is(failures[i], postgres.ErrLate)
		return nil // none ends the question to another
	})
	if err := errors.Join(failures...); err != nil {
		return s.orCause(ctx, err)
	}
	for i, b := range s.writers {
		notes.Set("sequences:"+b.Database, sequencesNote(sequences[i]))
	}
	return nil
}

// undecide opens from again wherever it may have decided. That has to be known:
// nobody may be told that it was taken back before. Clients wait for it no longer
// than their lease.
func (s *Switch) undecide(ctx context.Context, _ *journal.Notes) error {
	failures := make([]error, len(s.writers))
	s.each(ctx, func(ctx context.Context, i int, b *postgres.Writer) error {
		if !s.settled[i] {
			failures[i] = b.Unfence(ctx, string(s.from))
			s.settled[i] = failures[i] == nil
		}
		return nil
	})
	return errors.Join(failures...)
}

// open is tried until it succeeds: from has given the truth away. Clients wait for
// it, and, when this engine dies, go to to as soon as that is open.
func (s *Switch) open(ctx context.Context, notes *journal.Notes) error {
	s.renew(ctx, decidedLease, s.to)
	err := s.each(ctx, func(ctx context.Context, _ int, b *postgres.Writer) error {
		seqs, err := parseSequences(notes.Get("sequences:" + b.Database))
		if err != nil {
			return err
		}
		position, err := postgres.ParsePosition(notes.Get("fence:" + b.Database))
		if err != nil {
			return err
		}
		return b.Open(ctx, string(s.to), position, seqs)
	})
	if err == nil {
		s.renew(ctx, openLease, s.to)
	}
	return err
}

// renew renews the hold, which ends towards a side from here on. A gateway that does
// not answer, or has let its requests go, keeps nobody from what comes next.
func (s *Switch) renew(ctx context.Context, lease time.Duration, to Side) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewPatience)
	defer cancel()
	_ = s.traffic.Hold(ctx, lease, to)
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
// know that it did. The pause ends by the engine's clock and by the servers', and
// whoever sees it first says the same.
func (s *Switch) orCause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if errors.Is(err, postgres.ErrLate) {
		cause = s.pauseIsOver()
	}
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}
