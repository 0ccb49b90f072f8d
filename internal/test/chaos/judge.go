package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/migrate"
	"godwit/internal/probe"
)

// settle waits until all is well again by itself: nobody types a command. What
// does not come back is stuck; then a person's commands are tried, so that the
// campaign can go on.
func (c *campaign) settle(ctx context.Context, round *Round) error {
	begun := time.Now()
	why := c.awaitWell(ctx, round, c.Settle)
	round.Settled = time.Since(begun)
	if why == nil || ctx.Err() != nil { // ended by a signal it is not stuck
		return ctx.Err()
	}
	c.report.Stuck++
	round.Problems = append(round.Problems, fmt.Sprintf("STUCK: not well after %v: %v", c.Settle, why))
	if errors.Is(why, errTwoWriters) {
		c.report.TwoWriters++
		return why
	}
	c.Note("stuck (%v): a person types commands", why)
	exit, said := c.run(ctx, []string{"up", "--listen", c.stage.gateway, c.stage.Bistro}, &lineWriter{line: func(string) {}})
	if why = c.awaitWell(ctx, round, c.Settle); why != nil {
		return fmt.Errorf("it stays stuck, whatever a person types (up: exit %d, %s): %w", exit, said, why)
	}
	return nil
}

func (c *campaign) awaitWell(ctx context.Context, round *Round, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		err := c.well(ctx, round)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil || errors.Is(err, errTwoWriters) {
			return err
		}
		sleep(ctx, 50*time.Millisecond)
	}
}

// well says why not all is well.
func (c *campaign) well(ctx context.Context, round *Round) error {
	limit, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := c.stage.api.Status(limit)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	if err := healthy(s); err != nil {
		return err
	}
	truth, err := c.stage.truth(limit)
	if err != nil {
		return err
	}
	if said := s.Migrations[0].Truth; said != string(truth) {
		return fmt.Errorf("status says that the %s holds the truth, and the %s takes writes", said, truth)
	}
	if p := s.Migrations[0].Problem; p != "" {
		return fmt.Errorf("migration: %s", p)
	}
	round.Truth = truth
	return nil
}

// healthy says what in a status is not as it should be.
func healthy(s api.Status) error {
	switch {
	case s.Problem != "":
		return errors.New(s.Problem)
	case len(s.Unfinished) > 0:
		return fmt.Errorf("unfinished: %v", s.Unfinished)
	case !s.Gateway.Healthy:
		return errors.New("the gateway does not answer")
	case len(s.Environments) < 3 || len(s.Migrations) != 1:
		return fmt.Errorf("%d environments and %d migrations are seen", len(s.Environments), len(s.Migrations))
	}
	for _, e := range s.Environments {
		for _, d := range e.Databases {
			if !d.Ready {
				return fmt.Errorf("database %s/%s: %s", e.Name, d.Name, d.Reason)
			}
		}
		for _, f := range e.Fleets {
			ready := 0
			for _, i := range f.Instances {
				if i.State == fleet.Ready && f.Weights[i.Release] > 0 {
					ready++
				}
			}
			if ready < 2 {
				return fmt.Errorf("%s/%s: %d instances are ready", e.Name, f.Service, ready)
			}
		}
	}
	return nil
}

// detached are words of a command that does not know how its operation ended.
var detached = []string{"run the command again", "went away in the middle"}

// judgeLoad counts what clients have seen since it was called last.
func (c *campaign) judgeLoad(round *Round) {
	excused, harmed := 0, 0
	for _, f := range c.stage.load.take() {
		if round.excuses(f) {
			if excused++; round.Excuses == nil {
				round.Excuses = map[string]int{}
			}
			round.Excuses[f.Message]++
			continue
		}
		if harmed++; len(round.Examples) < 3 {
			round.Examples = append(round.Examples, fmt.Sprintf("harmed: %s at %s after %v: %s", f.Request, f.At.Format("15:04:05.000"), f.After.Round(time.Millisecond), f.Message))
		}
	}
	r := c.report
	round.Excused, round.Harmed = round.Excused+excused, round.Harmed+harmed
	r.Excused, r.Harmed = r.Excused+int64(excused), r.Harmed+int64(harmed)
	if harmed > 0 {
		r.violate("round %d: %d requests failed that had no reason to", round.Number, harmed)
	}
}

// judge counts what clients saw, and what must not have been.
func (c *campaign) judge(round *Round) {
	c.judgeLoad(round)
	r := c.report
	lost := slices.ContainsFunc(detached, func(words string) bool { return strings.Contains(round.Message, words) })
	if lost {
		r.Detached++
		round.Problems = append(round.Problems, "the command did not learn how its operation ended: "+round.Message)
	}
	if round.Exit == -1 {
		round.Problems = append(round.Problems, "the command "+round.Message)
	}
	if len(round.Command) == 3 && (round.Command[1] == "cutover" || round.Command[1] == "rollback") {
		went := map[string]migrate.Side{"cutover": migrate.Target, "rollback": migrate.Source}[round.Command[1]]
		if round.Truth == went {
			r.Switches++
		} else {
			r.Undone++
		}
		if (round.Exit == 0) != (round.Truth == went) && round.Truth != "" && !lost {
			round.Problems = append(round.Problems, fmt.Sprintf("the command ended with %d, and the truth is on the %s", round.Exit, round.Truth))
		}
	}
	if round.Exit != 0 && len(round.Command) > 1 && round.Command[1] == "verify" && !round.cutOff() {
		round.Problems = append(round.Problems, "the command did not wait for what came back by itself: "+round.Message)
	}
	for _, p := range round.Problems {
		r.violate("round %d: %s", round.Number, p)
	}
}

// cutOff: the source could not be asked for a while, or a disk took nothing, which no
// command waits for.
func (r *Round) cutOff() bool {
	return slices.ContainsFunc(r.Faults, func(i *injury) bool { return i.over != nil })
}

// excuses: a request that was under way while it might fail.
func (r *Round) excuses(f probe.Failure) bool {
	for _, i := range r.Faults {
		for _, e := range i.excuses {
			if !f.At.After(e.to) && !f.At.Add(f.After).Before(e.from) {
				return true
			}
		}
	}
	return false
}
