package api

import (
	"errors"

	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/rollout"
)

// How a rollout comes out: as its journal says, or in a way of its own.
const (
	RolloutDone      = string(journal.Done)
	RolloutUnchanged = "unchanged" // the release serves already
	RolloutRefused   = "refused"   // by the verdict, and taken back
	RolloutWaits     = "waits"     // for the data of a migration: nothing was begun
)

// Fine says that the release that was to serve serves, or will by itself.
func (r Rollout) Fine() bool {
	return r.Outcome == RolloutDone || r.Outcome == RolloutUnchanged || r.Outcome == RolloutWaits
}

// UnchangedRollout is that of a release which serves already.
func UnchangedRollout(environment, service string, live fleet.Release) Rollout {
	return Rollout{Environment: environment, Service: service, From: live.Number, To: live.Number, Outcome: RolloutUnchanged}
}

// EndedRollout says how the run of a rollout came out. Being refused, undone or stuck
// is an outcome, with its reason, and no error; to have begun nothing, or to be told
// that another works on the run, is one.
func EndedRollout(p rollout.Plan, outcome journal.Outcome, cause error) (Rollout, error) {
	r := Rollout{Environment: p.Environment, Service: p.Service, From: p.From.Number, To: p.To.Number,
		Outcome: string(outcome.Status), Steps: outcome.Steps}
	var refused *rollout.RefusedError
	switch {
	case cause == nil:
	case outcome.Status == "", errors.Is(cause, journal.ErrTaken):
		return r, cause
	case errors.As(cause, &refused) && outcome.Status == journal.Undone:
		r.Outcome, r.Reason = RolloutRefused, refused.Reason
	default:
		r.Reason = cause.Error()
	}
	return r, nil
}
