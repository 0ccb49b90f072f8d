package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/plan"
	"godwit/internal/rollout"
)

// Watch is how long a release is judged when nobody says: load balancers count
// by the minute, and tell a minute later.
const Watch = 5 * time.Minute

// limits of a rollout's journal: instances take minutes, not seconds.
var limits = journal.Limits{Undo: 20 * time.Minute, Finish: 40 * time.Minute, Grace: time.Minute,
	Pause: time.Second, LongestPause: 30 * time.Second}

func options(watch time.Duration) rollout.Options {
	if watch == 0 {
		watch = Watch
	}
	return rollout.Options{Watch: watch, Poll: min(15*time.Second, watch), Launch: 20 * time.Minute,
		Drain: 6 * time.Minute, Call: 15 * time.Minute}
}

// Deploy rolls out an image of a service into one environment, or all in the
// order they are declared; the first that is not done ends it.
func (c *Cloud) Deploy(ctx context.Context, service, environment, digest string, watch time.Duration) ([]api.Rollout, error) {
	s, err := c.service(service)
	if err != nil {
		return nil, err
	}
	return c.each(ctx, environment, func(e landscape.Environment) (api.Rollout, error) {
		return c.rollout(ctx, e.Name, s.Name, watch, func(ctx context.Context, live fleet.Release, w *work) (fleet.Release, error) {
			version, err := w.fillEnv(ctx, s, live)
			return fleet.Release{Environment: e.Name, Service: s.Name, Image: digest, Port: s.Port, Env: s.Env, Health: s.Health, Count: s.Scale.Min,
				SecretVersion: version}, err
		})
	})
}

// Rollback returns a service to an earlier release: the one numbered to, or with
// 0 the last that served before the one that serves.
func (c *Cloud) Rollback(ctx context.Context, service, environment string, to int, watch time.Duration) ([]api.Rollout, error) {
	if _, err := c.service(service); err != nil {
		return nil, err
	}
	return c.each(ctx, environment, func(e landscape.Environment) (api.Rollout, error) {
		return c.rollout(ctx, e.Name, service, watch, func(ctx context.Context, live fleet.Release, w *work) (fleet.Release, error) {
			release, err := w.earlier(live, to)
			if err == nil {
				err = w.keepEnv(ctx, release, live)
			}
			return release, err
		})
	})
}

// Resume finishes, or takes back, a rollout that its process did not end.
func (c *Cloud) Resume(ctx context.Context, service, environment string) ([]api.Rollout, error) {
	if _, err := c.service(service); err != nil {
		return nil, err
	}
	var all []api.Rollout
	_, err := c.each(ctx, environment, func(e landscape.Environment) (api.Rollout, error) {
		var ended []api.Rollout
		err := c.work(ctx, e.Name, service, func(ctx context.Context, w *work) (err error) {
			ended, err = w.resume(ctx)
			return err
		})
		all = append(all, ended...)
		return api.Rollout{Outcome: api.RolloutUnchanged}, err
	})
	return all, err
}

// each does a rollout in one or all environments until one is not well.
func (c *Cloud) each(ctx context.Context, environment string, do func(landscape.Environment) (api.Rollout, error)) ([]api.Rollout, error) {
	environments, err := c.environments(environment)
	if err != nil {
		return nil, err
	}
	all := []api.Rollout{}
	for _, e := range environments {
		r, err := do(e)
		if err != nil {
			return all, fail(err)
		}
		all = append(all, r)
		if !r.Fine() {
			break
		}
	}
	return all, nil
}

// rollout takes the lease, ends what another began, and rolls out the release
// that choose names.
func (c *Cloud) rollout(ctx context.Context, environment, service string, watch time.Duration,
	choose func(ctx context.Context, live fleet.Release, w *work) (fleet.Release, error)) (api.Rollout, error) {
	var ended api.Rollout
	err := c.work(ctx, environment, service, func(ctx context.Context, w *work) error {
		if _, err := w.resume(ctx); err != nil {
			return err
		}
		live, err := c.live(ctx, environment, service)
		if err != nil {
			return err
		}
		release, err := choose(ctx, live, w)
		if err != nil {
			return err
		}
		if live.Number > 0 && plan.Same(release, live) {
			ended = api.UnchangedRollout(environment, service, live)
			w.markEnv(ctx, live)
			return nil
		}
		if release.Number, err = w.number(ctx); err != nil {
			return err
		}
		release.CreatedAt = time.Now().UTC()
		p, err := rollout.NewPlan(ctx, c.site, live, release, options(watch))
		if err != nil {
			return err
		}
		ended, err = w.run(ctx, p)
		if ended.Outcome == string(journal.Done) {
			w.markEnv(ctx, release)
		}
		return err
	})
	return ended, err
}

// live is the release that serves now; Number 0 when there is none.
func (c *Cloud) live(ctx context.Context, environment, service string) (fleet.Release, error) {
	o, err := c.site.Observe(ctx, environment)
	if err != nil {
		return fleet.Release{}, err
	}
	return plan.LiveOf(o.Fleets, service), nil
}

func planOf(payload json.RawMessage) (rollout.Plan, error) {
	var p rollout.Plan
	if err := json.Unmarshal(payload, &p); err != nil {
		return p, fmt.Errorf("the journal's rollout cannot be read: %w", err)
	}
	return p, nil
}
