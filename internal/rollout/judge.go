package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/site"
)

// Names of the notes of a rollout.
const (
	NoteVerdict = "verdict"  // the reason of the verdict
	noteTraffic = "baseline" // counters before the new release got requests
)

func note(notes *journal.Notes, f fleet.Fleet) error {
	body, err := json.Marshal(f.Traffic)
	if err != nil {
		return err
	}
	notes.Set(noteTraffic, string(body))
	return nil
}

// judge watches the new release beside the old one: it refuses at once, and
// accepts when the watch is over. When their environment dies, that says nothing
// of either: the watch begins again when both are back.
func (r rollout) judge(ctx context.Context, notes *journal.Notes) error {
	for {
		err := r.watch(ctx, notes)
		if !errors.Is(err, site.ErrDead) || ctx.Err() != nil {
			return err
		}
		if err := r.relaunch(ctx); err != nil {
			return err
		}
		f, err := r.reobserve(ctx)
		if err != nil {
			return err
		}
		if err := note(notes, f); err != nil {
			return err
		}
	}
}

func (r rollout) watch(ctx context.Context, notes *journal.Notes) error {
	var before map[int]fleet.Traffic
	if err := json.Unmarshal([]byte(notes.Get(noteTraffic)), &before); err != nil {
		return fmt.Errorf("reading the counters noted before the shift: %w", err)
	}
	over := time.NewTimer(r.Options.Watch)
	defer over.Stop()
	look := time.NewTicker(r.Options.Poll)
	defer look.Stop()
	for last := false; ; {
		// A look that fails is made up for by the next; only the last must succeed.
		v, err := r.look(ctx, before, last)
		if err != nil && (last || errors.Is(err, site.ErrDead)) {
			return err
		}
		if v.Decision == Refused {
			notes.Set(NoteVerdict, v.Reason)
			return &RefusedError{r.To.Number, v.Reason}
		}
		if last {
			notes.Set(NoteVerdict, v.Reason)
			return nil
		}
		select {
		case <-look.C:
		case <-over.C:
			last = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r rollout) look(ctx context.Context, before map[int]fleet.Traffic, last bool) (Verdict, error) {
	f, err := r.observe(ctx)
	if err != nil {
		return Verdict{}, err
	}
	if v := Alive(f, r.To); v.Decision == Refused {
		return v, nil
	}
	judge := Judge
	if last {
		judge = Settle
	}
	return judge(r.since(before, f, r.From), r.since(before, f, r.To), r.Options.Policy), nil
}

func (r rollout) since(before map[int]fleet.Traffic, f fleet.Fleet, release fleet.Release) fleet.Traffic {
	return Since(before[release.Number], f.Traffic[release.Number])
}
