package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/site"
)

// launchEach is added to the budget of a launch for each instance: five hundred
// on one machine start one after the other.
const launchEach = 500 * time.Millisecond

// Steps is the order of a rollout. A step that fails, a verdict included, takes
// back those above it, the last first: shift back and drain, then retire. Once
// the old release has begun to drain, or the first or the heir of a dead one is
// to serve, the list is only finished.
func Steps(s site.Site, p Plan) []journal.Step {
	r := rollout{site: s, Plan: p}
	r.Options = p.Options.withDefaults()
	launch := r.Options.Launch + time.Duration(p.To.Count)*launchEach
	begin := []journal.Step{
		{Name: "check", Do: r.check, Budget: r.Options.Call},
		{Name: "launch", Do: r.launch, Undo: r.retireNew, Budget: launch},
		{Name: "ready", Do: r.ready, Budget: launch},
	}
	only := []journal.Step{
		{Name: "shift", Do: r.shiftOnly, Budget: launch, PointOfNoReturn: true},
	}
	between := []journal.Step{
		{Name: "shift a little", Do: r.shiftLittle, Undo: r.shiftBackAndDrain, Budget: r.Options.Call},
		{Name: "judge", Do: r.judge, Budget: r.Options.Watch + r.Options.Call},
		{Name: "shift the rest", Do: r.shiftRest, Undo: r.shiftBack, Budget: r.Options.Call},
	}
	end := []journal.Step{
		{Name: "drain old", Do: r.drainOld, Budget: 2*r.Options.Drain + r.Options.Call, PointOfNoReturn: true},
		{Name: "retire old", Do: r.retireOld, Budget: r.Options.Drain + r.Options.Call},
	}
	switch {
	case p.first():
		return slices.Concat(begin, only)
	case p.Dead:
		return slices.Concat(begin, only, end)
	}
	return slices.Concat(begin, between, end)
}

// rollout is a plan over a site.
type rollout struct {
	Plan
	site site.Site
}

// check refuses a plan that was made for another state of the world: taking it
// back would lead where the world never was.
func (r rollout) check(ctx context.Context, _ *journal.Notes) error {
	if err := r.Validate(); err != nil {
		return err
	}
	f, err := r.reobserve(ctx)
	if err != nil {
		return err
	}
	serves := r.first()
	for number, weight := range f.Weights {
		if weight > 0 && number != r.From.Number {
			return fmt.Errorf("%w: release %d serves, and the plan starts from %d; plan again", ErrInvalid, number, r.From.Number)
		}
		serves = serves || weight > 0
	}
	if !serves {
		return fmt.Errorf("%w: release %d does not serve, and the plan starts from it; plan again", ErrInvalid, r.From.Number)
	}
	return nil
}

func (r rollout) launch(ctx context.Context, _ *journal.Notes) error {
	if one := r.To; r.OneFirst && one.Count > 1 {
		one.Count = 1
		if err := r.site.Launch(ctx, one); err != nil {
			return err
		}
	}
	return r.site.Launch(ctx, r.To)
}

// ready believes what the site observes, not that its Launch returned.
func (r rollout) ready(ctx context.Context, _ *journal.Notes) error {
	f, err := r.observe(ctx)
	for errors.Is(err, site.ErrDead) { // with the release: that is not its fault
		if err := r.site.Launch(ctx, r.To); err != nil {
			return err
		}
		f, err = r.observe(ctx)
	}
	if err != nil {
		return err
	}
	if v := Alive(f, r.To); v.Decision == Refused {
		return &RefusedError{r.To.Number, v.Reason}
	}
	return nil
}

// shiftLittle notes the counters first, so that the first requests count.
func (r rollout) shiftLittle(ctx context.Context, notes *journal.Notes) error {
	f, err := r.reobserve(ctx)
	if err != nil {
		return err
	}
	if err := note(notes, f); err != nil {
		return err
	}
	return r.shiftOn(ctx, fleet.Weights{r.From.Number: 100 - r.Options.Share, r.To.Number: r.Options.Share})
}

func (r rollout) shiftRest(ctx context.Context, _ *journal.Notes) error {
	return r.shiftOn(ctx, fleet.Weights{r.To.Number: 100})
}

// shiftOn shifts to what was found good; where that died with its environment
// since, it is waited for until it is ready again.
func (r rollout) shiftOn(ctx context.Context, w fleet.Weights) error {
	err := r.shift(ctx, w)
	if !errors.Is(err, site.ErrInvalid) {
		return err
	}
	if _, dead := r.observe(ctx); !errors.Is(dead, site.ErrDead) {
		return err
	}
	if err := r.relaunch(ctx); err != nil {
		return err
	}
	return r.shift(ctx, w)
}

// relaunch waits until both releases are ready, after their environment had died.
func (r rollout) relaunch(ctx context.Context) error {
	if err := r.site.Launch(ctx, r.From); err != nil {
		return err
	}
	return r.site.Launch(ctx, r.To)
}

// shiftOnly cannot be taken back, for no other release could serve. So it
// launches again, should an instance have died since.
func (r rollout) shiftOnly(ctx context.Context, _ *journal.Notes) error {
	if err := r.site.Launch(ctx, r.To); err != nil {
		return err
	}
	return r.shift(ctx, fleet.Weights{r.To.Number: 100})
}

// shiftBack revives the old release when it has died meanwhile.
func (r rollout) shiftBack(ctx context.Context, _ *journal.Notes) error {
	back := fleet.Weights{r.From.Number: 100}
	err := r.shift(ctx, back)
	if !errors.Is(err, site.ErrInvalid) {
		return err
	}
	if err := r.site.Launch(ctx, r.From); err != nil {
		return fmt.Errorf("reviving release %d: %w", r.From.Number, err)
	}
	return r.shift(ctx, back)
}

func (r rollout) shiftBackAndDrain(ctx context.Context, notes *journal.Notes) error {
	if err := r.shiftBack(ctx, notes); err != nil {
		return err
	}
	return r.drain(ctx, r.To.Number)
}

func (r rollout) drainOld(ctx context.Context, _ *journal.Notes) error {
	return r.drain(ctx, r.From.Number)
}

func (r rollout) retireOld(ctx context.Context, _ *journal.Notes) error {
	return r.retire(ctx, r.From.Number)
}

func (r rollout) retireNew(ctx context.Context, _ *journal.Notes) error {
	return r.retire(ctx, r.To.Number)
}

func (r rollout) shift(ctx context.Context, w fleet.Weights) error {
	return r.site.Shift(ctx, r.Environment, r.Service, w)
}

// drain waits for requests in flight, but not beyond their deadline: what is
// still open then ends with the instance. Where ctx has a deadline of its own, as
// when undoing, a third of it is left for what follows.
func (r rollout) drain(ctx context.Context, release int) error {
	patience := r.Options.Drain
	if end, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(end)*2/3)
	}
	deadline, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := r.site.Drain(deadline, r.Environment, r.Service, release)
	if gone(err) || err != nil && deadline.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

func (r rollout) retire(ctx context.Context, release int) error {
	err := r.site.Retire(ctx, r.Environment, r.Service, release)
	if gone(err) {
		return nil
	}
	return err
}

// gone: what does not exist needs neither draining nor retiring.
func gone(err error) bool { return errors.Is(err, site.ErrNotFound) }

// reobserve is observe for whom a death meanwhile makes no difference.
func (r rollout) reobserve(ctx context.Context) (fleet.Fleet, error) {
	for {
		f, err := r.observe(ctx)
		if !errors.Is(err, site.ErrDead) || ctx.Err() != nil {
			return f, err
		}
	}
}

// observe is the fleet of this service as it is now, empty when it has none.
func (r rollout) observe(ctx context.Context) (fleet.Fleet, error) {
	e, err := r.site.Observe(ctx, r.Environment)
	if err != nil {
		return fleet.Fleet{}, err
	}
	for _, f := range e.Fleets {
		if f.Service == r.Service {
			return f, nil
		}
	}
	return fleet.Fleet{}, nil
}
