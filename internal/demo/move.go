package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/report"
	"godwit/internal/stand"
	"godwit/internal/version"
)

const (
	migration   = "datacenter"
	environment = "production"
	// breath is how long the load runs undisturbed between two acts, so that the
	// timeline shows what each of them did.
	breath = 700 * time.Millisecond
)

// move plays the move: each act is a command that a user would type.
func (d *demo) move(ctx context.Context) error {
	d.report.Landscape, d.report.Version, d.report.Rate = "bistro", version.Version, d.Rate
	var err error
	if d.load, err = startLoad(ctx, d); err != nil {
		return err
	}
	d.report.StartedAt = d.load.started
	acts := []act{
		{"adopted", d.pause},
		{"check", d.check},
		{"sync", d.sync},
		{"cutover", d.cutover},
		{"verify", d.verify},
		{"deploy till v2", func(ctx context.Context) error { return d.deploy(ctx, "2", "done") }},
		{"deploy till v3", func(ctx context.Context) error { return d.deploy(ctx, "3", "refused") }},
	}
	if d.Isolation == "none" {
		d.Note("WITHOUT ISOLATION, as asked: there is nothing to test, and the report says nothing of it")
	} else {
		acts = append(acts, act{"isolation", d.isolation})
	}
	if d.Rollback {
		acts = append(acts, act{"rollback", d.rollback})
	}
	for _, a := range acts {
		d.Note("— %s", a.name)
		if err := d.play(ctx, a); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		if err := d.pause(ctx); err != nil {
			return err
		}
	}
	if err := d.waitUntil(ctx, d.load.started.Add(d.Duration)); err != nil {
		return err
	}
	d.Note("— comparing the ledger with the data")
	return d.finish()
}

// act is a piece of the play.
type act struct {
	name string
	do   func(context.Context) error
}

// play does an act and marks it on the timeline.
func (d *demo) play(ctx context.Context, a act) error {
	start := time.Now()
	err := a.do(ctx)
	d.report.Timeline.Events = append(d.report.Timeline.Events, report.Event{
		AtMS: d.since(start), UntilMS: d.since(time.Now()), Name: a.name})
	return err
}

func (d *demo) since(t time.Time) int64 { return t.Sub(d.report.StartedAt).Milliseconds() }

func (d *demo) pause(ctx context.Context) error { return d.waitUntil(ctx, time.Now().Add(breath)) }

// waitUntil waits, but not longer than the load lives.
func (d *demo) waitUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-d.load.ended:
		return fmt.Errorf("the load ended early: %w", d.load.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *demo) check(ctx context.Context) error {
	var checks api.Checks
	exit, err := d.godwit.Run(ctx, &checks, "migrate", "check", migration)
	if err == nil && exit != 0 {
		err = fmt.Errorf("findings: %v", checks.Findings)
	}
	return err
}

func (d *demo) sync(ctx context.Context) error {
	return d.godwit.Must(ctx, nil, "migrate", "sync", migration)
}

func (d *demo) cutover(ctx context.Context) (err error) {
	d.report.Cutover, err = d.turn(ctx, "cutover")
	return err
}

func (d *demo) rollback(ctx context.Context) (err error) {
	d.report.Rollback, err = d.turn(ctx, "rollback")
	return err
}

// turn moves the truth and reports how long that took.
func (d *demo) turn(ctx context.Context, command string) (*report.Move, error) {
	var s api.SwitchReport
	exit, err := d.godwit.Run(ctx, &s, "migrate", command, migration)
	if err != nil {
		return nil, err
	}
	if exit != 0 {
		d.report.Problem(fmt.Sprintf("%s: %s in step %s: %s", command, s.Outcome, s.Failed, s.Reason))
	}
	for _, f := range s.Findings {
		d.report.Problem(command + ": " + f.Summary)
	}
	d.report.Requests.Held += s.Held
	move := &report.Move{WritePauseMS: s.WritePauseMS}
	var positions []string
	for _, database := range stand.Databases {
		if lsn, ok := s.LSN[database]; ok {
			positions = append(positions, database+" "+lsn)
		}
	}
	move.LSN = strings.Join(positions, ", ")
	for _, step := range s.Steps {
		move.Steps = append(move.Steps, report.Step{Name: step.Name, MS: step.MS})
	}
	return move, nil
}

func (d *demo) verify(ctx context.Context) error {
	var v api.Verification
	exit, err := d.godwit.Run(ctx, &v, "migrate", "verify", migration)
	if err == nil && (exit != 0 || !v.Equal) {
		d.report.Problem(fmt.Sprintf("verify: both sides differ: %v", v.Differing))
	}
	return err
}

// deploy rolls out a version of till; the broken one is to be refused.
func (d *demo) deploy(ctx context.Context, to, expected string) error {
	var rollouts []api.Rollout
	_, err := d.godwit.Run(ctx, &rollouts, "deploy", "till", "--env", environment, "--image", d.images[to])
	if err != nil {
		return err
	}
	for _, r := range rollouts {
		d.report.Rollouts = append(d.report.Rollouts, report.Rollout{
			Service: r.Service, From: fmt.Sprint(r.From), To: fmt.Sprint(r.To), Outcome: r.Outcome, Expected: expected,
			FailedRequests: int64(r.Failed), Shielded: int64(r.Shielded), Reason: r.Reason,
		})
	}
	return nil
}

func (d *demo) isolation(ctx context.Context) error {
	var i api.Isolation
	if _, err := d.godwit.Run(ctx, &i, "isolation"); err != nil {
		return err
	}
	d.report.Isolation = &report.Isolation{Pairs: i.Pairs, Allowed: i.Allowed, Denied: i.Denied, Wrong: i.Wrong}
	for _, detail := range i.Details {
		d.report.Problem("isolation: " + detail)
	}
	return nil
}

// finish ends the load and takes over what it saw.
func (d *demo) finish() error {
	seen, err := d.load.result()
	if err != nil {
		return err
	}
	d.report.DurationS = seen.Result.Elapsed.Seconds()
	seen.fill(d.report)
	return nil
}
