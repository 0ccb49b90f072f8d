package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/plan"
	"godwit/internal/rollout"
	"godwit/internal/store"
)

// Deploy rolls out a new release of a service, environment by environment in
// the order they are declared; the first that is not done ends it.
func (e *Engine) Deploy(ctx context.Context, r api.DeployRequest, sink api.Sink) ([]api.Rollout, error) {
	return e.inEnvironments(ctx, "deploy of "+r.Service, r.Service, r.Environment, sink,
		func(ctx context.Context, w *world, s landscape.Service, sink api.Sink) (rolloutIn, error) {
			digest, err := e.deployImage(ctx, w, s, r.Image, sink)
			return func(environment string) (api.Rollout, error) {
				return e.rollout(ctx, w, environment, s, digest, sink)
			}, err
		})
}

func (e *Engine) deployImage(ctx context.Context, w *world, s landscape.Service, path string, sink api.Sink) (string, error) {
	if path != "" {
		s.Build, s.Image = nil, path
	}
	images, err := e.makeImages(ctx, w, []landscape.Service{s}, sink)
	return images[s.Name], err
}

// Rollback returns a service to an earlier release: its image and configuration
// as a new release, by the same steps.
func (e *Engine) Rollback(ctx context.Context, r api.RollbackRequest, sink api.Sink) ([]api.Rollout, error) {
	return e.inEnvironments(ctx, "rollback of "+r.Service, r.Service, r.Environment, sink,
		func(ctx context.Context, w *world, s landscape.Service, sink api.Sink) (rolloutIn, error) {
			return func(environment string) (api.Rollout, error) {
				return e.rollBackTo(ctx, w, environment, s, r, sink)
			}, nil
		})
}

func (e *Engine) rollBackTo(ctx context.Context, w *world, environment string, s landscape.Service, r api.RollbackRequest, sink api.Sink) (api.Rollout, error) {
	live, err := e.live(ctx, w, environment, s.Name)
	if err != nil {
		return api.Rollout{}, err
	}
	to := r.To
	if to == 0 {
		if to, err = e.meant(ctx, r, environment, live); err != nil {
			return api.Rollout{}, err
		}
	}
	old, err := e.store.Release(ctx, environment, s.Name, to)
	if err != nil {
		return api.Rollout{}, api.Fail(api.Missing, "%s/%s has no release %d: %v", environment, s.Name, to, err)
	}
	if old.Forgotten {
		return api.Rollout{}, api.Fail(api.Refused, "release %d of %s/%s was made before godwit down, which removed the values of its variables: deploy it again with godwit deploy %s --image PATH",
			to, environment, s.Name, s.Name)
	}
	return e.rolloutRelease(ctx, w, live, old, sink)
}

// documentRollback is the kind of the documents that remember, by service, what its
// last rollback meant by "the release before".
const documentRollback = "rollback"

// meaning is what a request meant, by environment.
type meaning struct {
	Request string         `json:"request"`
	To      map[string]int `json:"to"`
}

// meant is the release before the live one, as it was when the request first came:
// what is sent again after a crash must not go back once more.
func (e *Engine) meant(ctx context.Context, r api.RollbackRequest, environment string, live fleet.Release) (int, error) {
	var m meaning
	if _, err := e.store.Get(ctx, documentRollback, r.Service, &m); err != nil {
		return 0, err
	}
	if r.ID == "" || m.Request != r.ID {
		m = meaning{Request: r.ID, To: map[string]int{}}
	}
	if to := m.To[environment]; to > 0 {
		return to, nil
	}
	to, err := e.previous(ctx, environment, r.Service, live)
	if err != nil || r.ID == "" {
		return to, err
	}
	m.To[environment] = to
	return to, e.store.Put(ctx, documentRollback, r.Service, m)
}

// previous is the release that served before the live one: the newest other
// that was deployed with success.
func (e *Engine) previous(ctx context.Context, environment, service string, live fleet.Release) (int, error) {
	deployments, err := e.store.Deployments(ctx, environment, service)
	if err != nil {
		return 0, err
	}
	for i := len(deployments) - 1; i >= 0; i-- {
		if d := deployments[i]; d.Outcome == api.RolloutDone && d.Release != live.Number {
			return d.Release, nil
		}
	}
	return 0, api.Fail(api.Missing, "%s/%s has no earlier release to return to", environment, service)
}

// rolloutIn is one rollout, ready to be done in an environment.
type rolloutIn func(environment string) (api.Rollout, error)

// inEnvironments does one kind of rollout in one or all environments.
func (e *Engine) inEnvironments(ctx context.Context, name, service, environment string, sink api.Sink,
	prepare func(context.Context, *world, landscape.Service, api.Sink) (rolloutIn, error)) (rollouts []api.Rollout, err error) {
	var environments []string
	if environment != "" {
		environments = []string{environment}
	}
	err = e.operate(ctx, operation{name: name, environments: environments, rollout: service, world: func(context.Context, api.Sink) (*world, error) { return e.whereRolledOut(service, environment) },
		do: func(ctx context.Context, w *world, _ *migration, sink api.Sink) error {
			s, err := w.service(service)
			if err != nil {
				return err
			}
			environments, err := w.chosen(environment)
			if err != nil {
				return err
			}
			do, err := prepare(ctx, w, s, sink)
			if err != nil {
				return err
			}
			rollouts, err = oneByOne(environments, service, func(environment string) (api.Rollout, error) {
				r, err := do(environment)
				if err == nil {
					r.Problem = e.waysClosed(ctx, w, environment, sink)
				}
				return r, err
			})
			return err
		}}, sink)
	return rollouts, err
}

// whereRolledOut is the world that is up; what is not in it is refused before
// anything is settled.
func (e *Engine) whereRolledOut(service, environment string) (*world, error) {
	w, err := e.current()
	if err != nil {
		return nil, err
	}
	if err := w.elsewhere("godwit aws deploy and godwit aws rollback roll out"); err != nil {
		return nil, err
	}
	if _, err := w.service(service); err != nil {
		return nil, err
	}
	_, err = w.chosen(environment)
	return w, err
}

// oneByOne rolls out in environments until one is not done.
func oneByOne(environments []landscape.Environment, service string, do rolloutIn) ([]api.Rollout, error) {
	rollouts := []api.Rollout{}
	for _, env := range environments {
		r, err := do(env.Name)
		if err != nil {
			return rollouts, fmt.Errorf("%s/%s: %w", env.Name, service, err)
		}
		rollouts = append(rollouts, r)
		if !r.Fine() {
			break
		}
	}
	return rollouts, nil
}

// chosen is one environment, or all when no name is given.
func (w *world) chosen(name string) ([]landscape.Environment, error) {
	if name == "" {
		return w.landscape.Environments, nil
	}
	env, err := w.environment(name)
	return []landscape.Environment{env}, err
}

// rollout makes the release that the landscape declares, and rolls it out
// unless it is live already.
func (e *Engine) rollout(ctx context.Context, w *world, environment string, s landscape.Service, digest string, sink api.Sink) (api.Rollout, error) {
	live, err := e.live(ctx, w, environment, s.Name)
	if err != nil {
		return api.Rollout{}, err
	}
	return e.rolloutRelease(ctx, w, live, fleet.Release{
		Environment: environment, Service: s.Name, Image: digest, Port: s.Port, Env: s.Env, Health: s.Health, Count: s.Scale.Min,
	}, sink)
}

// live is the release that serves now; Number 0 when there is none.
func (e *Engine) live(ctx context.Context, w *world, environment, service string) (fleet.Release, error) {
	ctx, cancel := context.WithTimeout(ctx, observeLimit)
	defer cancel()
	s := e.healed(w)
	o, err := s.Observe(ctx, environment)
	if err != nil {
		return fleet.Release{}, err
	}
	live := plan.LiveOf(o.Fleets, service)
	if live.Number > 0 && e.healers.of(environment).young() {
		// What serves is starting again: that does not make it a dead release.
		patience, cancel := context.WithTimeout(ctx, youth)
		defer cancel()
		if err := s.Launch(patience, live); err != nil {
			e.log.Warn("the live release is not ready after its environment was brought back", "environment", environment, "service", service, "error", err)
		}
	}
	return live, nil
}

// rolloutRelease numbers a release and runs the steps of its rollout.
func (e *Engine) rolloutRelease(ctx context.Context, w *world, live, next fleet.Release, sink api.Sink) (api.Rollout, error) {
	waits, err := e.waiting(ctx, w)
	if err != nil {
		return api.Rollout{}, err
	}
	if migration := waits.of(next.Environment, next.Service); migration != "" && live.Number == 0 {
		return api.Rollout{Environment: next.Environment, Service: next.Service, Outcome: api.RolloutWaits, Reason: waitsFor(next.Environment, migration)}, nil
	}
	if live.Number > 0 && plan.Same(next, live) {
		return api.UnchangedRollout(next.Environment, next.Service, live), nil
	}
	next.CreatedAt = time.Now().UTC()
	s := e.healed(w)
	p, err := rollout.NewPlan(ctx, s, live, next, e.rollouts)
	if err != nil {
		return api.Rollout{}, err // no release is made that nobody rolls out
	}
	declared, _ := w.landscape.Service(next.Service)
	p.OneFirst = slices.ContainsFunc(declared.Needs, func(n landscape.Ref) bool { return n.Kind == "database" })
	if next, err = e.store.AddRelease(ctx, next); err != nil {
		return api.Rollout{}, err
	}
	p.To = next
	payload, err := json.Marshal(p)
	if err != nil {
		return api.Rollout{}, err
	}
	subject := poolName(next.Environment, next.Service)
	run := journal.Run{ID: fmt.Sprintf("rollout-%s-%s-%d", next.Environment, next.Service, next.Number),
		Kind: rollout.Kind, Subject: subject, Payload: payload}
	seen := e.watchClients(ctx, p)
	show := sink.Steps(subject)
	outcome, err := e.journal.Run(ctx, run, rollout.Steps(s, p), func(event journal.Event) {
		show(event)
		seen.look()
	})
	return e.rolloutEnded(ctx, p, seen.traffic, outcome, err)
}

// rolloutEnded writes down how a rollout ended, unless none was begun.
func (e *Engine) rolloutEnded(ctx context.Context, p rollout.Plan, seen fleet.Traffic, outcome journal.Outcome, cause error) (api.Rollout, error) {
	r, err := api.EndedRollout(p, outcome, cause)
	r.Shielded, r.Failed = seen.Shielded, seen.Errors-min(seen.Errors, seen.Shielded)
	if err != nil {
		return r, err
	}
	r.Reason = e.secrets.conceal(r.Reason)
	// The caller may be gone; the history is not.
	err = e.store.AddDeployment(context.WithoutCancel(ctx), store.Deployment{Environment: r.Environment, Service: r.Service, Release: r.To, At: time.Now().UTC(), Outcome: r.Outcome})
	return r, err
}

// lookTimeout bounds one look at the gateway: a rollout does not wait for it.
const lookTimeout = time.Second

// clients is what the gateway has seen of the new release of a rollout. It
// forgets a release that is retired, so it is asked after every step.
type clients struct {
	traffic fleet.Traffic
	look    func()
}

func (e *Engine) watchClients(ctx context.Context, p rollout.Plan) *clients {
	c := &clients{}
	ctx = context.WithoutCancel(ctx)
	c.look = func() {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		traffic, err := e.gateway.Traffic(ctx, poolName(p.Environment, p.Service))
		if t := traffic[p.To.Number]; err == nil && t.Requests >= c.traffic.Requests {
			c.traffic = t
		}
	}
	return c
}
