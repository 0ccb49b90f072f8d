package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/rollout"
	"godwit/internal/site"
	"godwit/internal/store"
)

// documentLeftover is the kind of the documents that remember what rollouts that
// were given up have left behind.
const documentLeftover = "leftover"

// leftover is what a rollout that was given up was between.
type leftover struct {
	Run         string `json:"run"`
	Environment string `json:"environment"`
	Service     string `json:"service"`
	From        int    `json:"from"`
	To          int    `json:"to"`
}

// endPatience bounds the wait for a rollout that is told to end.
const endPatience = time.Minute

var errAbandoned = errors.New("it was given up with godwit abandon")

// Abandon gives up what is unfinished of a service's rollouts: one that runs is told
// to end, one that is stuck is ended in the journal. The release that serves stays;
// what was launched beside it is retired now or, where that fails, later.
func (e *Engine) Abandon(ctx context.Context, r api.AbandonRequest, sink api.Sink) (given []api.Rollout, err error) {
	w, err := e.whereRolledOut(r.Service, r.Environment)
	if err != nil {
		return nil, err
	}
	environments, err := w.chosen(r.Environment)
	if err != nil {
		return nil, err
	}
	runs, err := e.unfinishedOf(ctx, r.Service, environments)
	if err != nil {
		return nil, err
	}
	if len(runs) == 0 {
		return nil, api.Fail(api.Missing, "no rollout of %s is unfinished: godwit status shows what is", r.Service)
	}
	var names []string
	for _, run := range runs {
		names = append(names, environmentOf(run))
		limit, cancel := context.WithTimeout(ctx, endPatience)
		err := e.endYielding(limit, environmentOf(run), r.Service, errAbandoned)
		cancel()
		if err != nil {
			return nil, err
		}
	}
	err = e.operate(ctx, operation{name: "abandoning rollouts of " + r.Service, environments: names, apart: true,
		do: func(ctx context.Context, w *world, _ *migration, sink api.Sink) error {
			for _, run := range runs {
				one, err := e.giveUp(ctx, w, run, sink)
				if err != nil {
					return err
				}
				given = append(given, one)
			}
			return nil
		}}, sink)
	return given, err
}

// unfinishedOf are the unfinished rollouts of a service in environments.
func (e *Engine) unfinishedOf(ctx context.Context, service string, environments []landscape.Environment) ([]journal.Run, error) {
	runs, err := e.journal.Unfinished(ctx)
	return slices.DeleteFunc(runs, func(run journal.Run) bool {
		return run.Kind != rollout.Kind || !slices.ContainsFunc(environments, func(env landscape.Environment) bool {
			return run.Subject == poolName(env.Name, service)
		})
	}), err
}

// giveUp writes down what is left before it ends the run: a killed engine tidies up
// too.
func (e *Engine) giveUp(ctx context.Context, w *world, run journal.Run, sink api.Sink) (api.Rollout, error) {
	var p rollout.Plan
	if err := json.Unmarshal(run.Payload, &p); err != nil {
		return api.Rollout{}, err
	}
	left := leftover{Run: run.ID, Environment: p.Environment, Service: p.Service, From: p.From.Number, To: p.To.Number}
	if err := e.store.Put(ctx, documentLeftover, run.ID, left); err != nil {
		return api.Rollout{}, err
	}
	outcome, err := e.journal.GiveUp(ctx, run.ID, errAbandoned.Error())
	if err != nil {
		return api.Rollout{}, err
	}
	r, err := api.EndedRollout(p, outcome, outcome.Cause)
	if err != nil {
		return r, err
	}
	r.Reason = e.secrets.conceal(r.Reason)
	if outcome.Status == journal.GivenUp {
		err = e.store.AddDeployment(context.WithoutCancel(ctx), store.Deployment{Environment: r.Environment, Service: r.Service,
			Release: r.To, At: time.Now().UTC(), Outcome: r.Outcome})
	}
	if err != nil {
		return r, err
	}
	limit, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	if err := e.clear(limit, w, left); err != nil {
		sink.Note(run.Subject, "what was launched stays for now", "the engine retires it when it can: "+e.secrets.conceal(err.Error()))
	}
	return r, nil
}

// leftovers are those in some environments; no environments are all.
func (e *Engine) leftovers(ctx context.Context, environments []string) ([]leftover, error) {
	names, err := e.store.List(ctx, documentLeftover)
	var all []leftover
	for _, name := range names {
		var l leftover
		if _, err := e.store.Get(ctx, documentLeftover, name, &l); err != nil {
			return nil, err
		}
		if len(environments) == 0 || slices.Contains(environments, l.Environment) {
			all = append(all, l)
		}
	}
	return all, err
}

// tidy clears what was left in some environments, as far as that can be done now.
func (e *Engine) tidy(ctx context.Context, w *world, environments []string) {
	left, err := e.leftovers(ctx, environments)
	for _, l := range left {
		err = errors.Join(err, e.clear(ctx, w, l))
	}
	if err != nil {
		e.log.Warn("what a rollout left that was given up stays for now", "error", e.secrets.concealError(err))
	}
}

// clear leaves one of two releases, the one that serves, and retires the other.
func (e *Engine) clear(ctx context.Context, w *world, l leftover) error {
	record, err := e.journal.Record(ctx, l.Run)
	if err == nil && record.Outcome.Status != journal.GivenUp {
		return e.store.Delete(ctx, documentLeftover, l.Run) // it came to an end by itself
	}
	s := e.healed(w)
	f, err := fleetOf(ctx, s, l.Environment, l.Service)
	if err != nil && !isNotFound(err) {
		return err
	}
	stays, goes := l.From, l.To
	if f.Weights[l.From] == 0 && f.Weights[l.To] > 0 {
		stays, goes = l.To, l.From
	}
	if f.Weights[goes] > 0 {
		err := s.Shift(ctx, l.Environment, l.Service, fleet.Weights{stays: 100})
		if errors.Is(err, site.ErrInvalid) { // nothing of it is ready: the other serves
			stays, goes = goes, stays
			err = s.Shift(ctx, l.Environment, l.Service, fleet.Weights{stays: 100})
		}
		if err != nil {
			return err
		}
	}
	if goes > 0 && f.Service != "" {
		if err := drain(ctx, s, fleet.Release{Environment: l.Environment, Service: l.Service, Number: goes}); err != nil {
			return err
		}
		if err := s.Retire(ctx, l.Environment, l.Service, goes); err != nil && !isNotFound(err) {
			return fmt.Errorf("retiring release %s of %s: %w", strconv.Itoa(goes), poolName(l.Environment, l.Service), err)
		}
	}
	return e.store.Delete(ctx, documentLeftover, l.Run)
}

// fleetOf is a service as it is now, zero when there is none.
func fleetOf(ctx context.Context, s site.Site, environment, service string) (fleet.Fleet, error) {
	o, err := s.Observe(ctx, environment)
	for _, f := range o.Fleets {
		if f.Service == service {
			return f, err
		}
	}
	return fleet.Fleet{}, err
}
