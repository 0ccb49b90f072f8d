// Package rollout is the change of one service in one environment from one
// release to the next: launch, prove, shift, drain, retire. Its order is one
// list, Steps, for the journal to run over any site. Whether a new release is
// good enough is decided in verdict.go, which is pure.
//
// A rollout ends with either release serving everything, and at every instant
// in between some release with ready instances serves. The engine imports it.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/site"
)

// Kind of the journal's runs that are rollouts.
const Kind = "rollout"

// ErrInvalid: a plan contradicts itself.
var ErrInvalid = errors.New("invalid rollout")

// RefusedError is a verdict against the new release.
type RefusedError struct {
	Release int
	Reason  string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("release %d is refused: %s", e.Release, e.Reason)
}

// Plan is what a rollout is built from; as JSON it is the payload of its run,
// so that a restarted engine builds the same steps.
type Plan struct {
	Environment string        `json:"environment"`
	Service     string        `json:"service"`
	From        fleet.Release `json:"from"` // Number 0: the first deployment
	To          fleet.Release `json:"to"`
	// Dead: nothing of From was ready when the plan was made. There is nothing to
	// compare with, nor to go back to, and nobody to protect by going slowly.
	Dead bool `json:"dead,omitempty"`
	// OneFirst: the first instance is ready before another is launched. What changes
	// its database when it starts must not race with itself.
	OneFirst bool    `json:"one_first,omitempty"`
	Options  Options `json:"options"`
}

// NewPlan is the plan from the release that serves, or a zero one, to another.
func NewPlan(ctx context.Context, s site.Site, from, to fleet.Release, o Options) (Plan, error) {
	p := Plan{Environment: to.Environment, Service: to.Service, From: from, To: to, Options: o}
	if p.first() {
		return p, nil
	}
	f, err := rollout{site: s, Plan: p}.reobserve(ctx)
	p.Dead = !slices.ContainsFunc(f.Instances, func(i fleet.Instance) bool { return i.Release == from.Number && i.State == fleet.Ready })
	return p, err
}

// Options of a rollout; what is 0 has a default.
type Options struct {
	// Share of the new requests, in percent, that the new release is judged on; 10.
	Share int `json:"share,omitempty"`
	// Watch is how long it is judged; 3 s.
	Watch time.Duration `json:"watch,omitempty"`
	// Poll is the pause between two looks at it; 100 ms.
	Poll time.Duration `json:"poll,omitempty"`
	// Launch is the budget for its instances to become ready; 2 min.
	Launch time.Duration `json:"launch,omitempty"`
	// Drain is the deadline of requests in flight, long connections included,
	// at a release that is drained; 30 s.
	Drain time.Duration `json:"drain,omitempty"`
	// Call is the budget of calls of the site that should return soon; 15 s.
	Call   time.Duration `json:"call,omitempty"`
	Policy Policy        `json:"policy"`
}

func (o Options) withDefaults() Options {
	if o.Share == 0 {
		o.Share = 10
	}
	if o.Watch == 0 {
		o.Watch = 3 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = 100 * time.Millisecond
	}
	if o.Launch == 0 {
		o.Launch = 2 * time.Minute
	}
	if o.Drain == 0 {
		o.Drain = 30 * time.Second
	}
	if o.Call == 0 {
		o.Call = 15 * time.Second
	}
	return o
}

// first says that there is nothing to compare with, nor to go back to.
func (p Plan) first() bool { return p.From.Number == 0 }

// Validate returns an ErrInvalid that says what contradicts itself.
func (p Plan) Validate() error {
	switch {
	case p.Environment == "" || p.Service == "":
		return fmt.Errorf("%w: it names no environment or no service", ErrInvalid)
	case !p.belongs(p.To) || !p.first() && !p.belongs(p.From):
		return fmt.Errorf("%w: its releases are not of %s/%s", ErrInvalid, p.Environment, p.Service)
	case p.To.Number < 1 || p.To.Number == p.From.Number:
		return fmt.Errorf("%w: from release %d to release %d; add a release first", ErrInvalid, p.From.Number, p.To.Number)
	case p.To.Count < 1:
		return fmt.Errorf("%w: release %d has no instances; set its count", ErrInvalid, p.To.Number)
	case p.Options.Share < 0 || p.Options.Share > 99:
		return fmt.Errorf("%w: a share of %d %%; choose 1 to 99", ErrInvalid, p.Options.Share)
	}
	return nil
}

func (p Plan) belongs(r fleet.Release) bool {
	return r.Environment == p.Environment && r.Service == p.Service
}
