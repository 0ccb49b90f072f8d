// Package plan says what must change so that what is there becomes what is
// declared: landscape and observation in, an ordered list of explained changes
// out. A Plan is a value: it can be shown, stored, approved and carried out by
// somebody else.
//
// It is pure: equal arguments give equal plans. Everybody may import it; it
// imports only landscape and fleet.
package plan

import (
	"net/netip"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
)

// Action is what happens to a thing.
type Action string

const (
	Create  Action = "create"
	Update  Action = "update"  // in place, or by a rollout: nothing is lost
	Replace Action = "replace" // removed and made again: its data or its address is lost
	Remove  Action = "remove"
)

// Kind is what a change is about.
type Kind string

const (
	Environment Kind = "environment"
	Database    Kind = "database"
	Service     Kind = "service"
	Ingress     Kind = "ingress"
	Edge        Kind = "edge" // of a service that is there: what it needs more, or no more
)

// Change is one line of a plan.
type Change struct {
	Action      Action `json:"action"`
	Kind        Kind   `json:"kind"`
	Environment string `json:"environment"`
	Name        string `json:"name"`
	From        string `json:"from,omitempty"` // what is there, for people
	To          string `json:"to,omitempty"`   // what will be there
	Reason      string `json:"reason"`
	// Protected: data, or traffic of a protected environment, would be lost;
	// refused without approval.
	Protected bool `json:"protected,omitempty"`
}

// Plan is all changes in the order in which they are carried out: environments,
// databases, services (those needed first), their edges, ingresses; then
// removals, in reverse.
type Plan struct {
	Changes   []Change `json:"changes"`
	Unchanged int      `json:"unchanged"` // things that are as declared
	Kept      []Kept   `json:"kept,omitempty"`
	Waits     []Kept   `json:"waits,omitempty"` // declared, and not made yet
}

// Kept is what is no longer declared and stays all the same. It is no change:
// carrying the plan out leaves it alone.
type Kept struct {
	Kind        Kind   `json:"kind"`
	Environment string `json:"environment"`
	Name        string `json:"name"`
	Reason      string `json:"reason"`
}

// Have is what a site observed, and what the gateway routes.
type Have struct {
	Environments []HaveEnvironment
}

// HaveEnvironment is an environment that exists.
type HaveEnvironment struct {
	Name      string
	Network   netip.Prefix
	Protected bool // as it was when it was last applied
	Databases []string
	Fleets    []fleet.Fleet
	Ingresses []HaveIngress
	Edges     []landscape.Edge // that are open between services and databases; nil when not known
}

// HaveIngress is a host that the gateway answers for.
type HaveIngress struct {
	Name, Host, Service string
}

// Empty reports whether nothing is to be done.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Protected are the changes that are refused without approval.
func (p Plan) Protected() []Change {
	var refused []Change
	for _, c := range p.Changes {
		if c.Protected {
			refused = append(refused, c)
		}
	}
	return refused
}
