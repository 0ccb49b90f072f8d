// Package convention is what Terraform's modules, machine images and rollouts
// agree on: names, tags and the document that an instance is started with. Each
// of them finds what another made by these, and by nothing else; so no state of
// godwit's own has to be kept beside AWS.
//
// It is pure. Whoever renders, bakes or rolls out on AWS imports it.
package convention

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Colour is one of the two places of a service: while one serves, the other is
// where the next release is launched.
type Colour string

const (
	Blue  Colour = "blue"
	Green Colour = "green"
)

// Colours are both.
var Colours = []Colour{Blue, Green}

// Other is the other place.
func (c Colour) Other() Colour {
	if c == Blue {
		return Green
	}
	return Blue
}

// Scope is an environment of a landscape: what names begin with.
type Scope struct {
	Landscape, Environment string
}

// Name is of whatever there is one of in an environment: bistro-production-NAME.
func (s Scope) Name(parts ...string) string {
	return strings.Join(append([]string{s.Landscape, s.Environment}, parts...), "-")
}

// Group is the name of the Auto Scaling group of a service's colour.
func (s Scope) Group(service string, c Colour) string { return s.Name(service, string(c)) }

// LaunchTemplate is the name of the launch template of a service.
func (s Scope) LaunchTemplate(service string) string { return s.Name(service) }

// DrainHook is the name of the lifecycle hook that holds an instance's end until
// it has drained.
const DrainHook = "drain"

// LaunchHook is the name of the lifecycle hook that holds an instance of a
// service without target groups until it has answered its health check: no load
// balancer asks for it there.
const LaunchHook = "launch"

// Face is which load balancer a target group stands behind.
type Face string

const (
	Public   Face = "public"   // the environment's public load balancer
	Internal Face = "internal" // the service's own, for those that need it
)

// TargetGroup is the name of the target group of a service's colour. AWS allows
// 32 characters: a longer name ends in a hash of the whole.
func (s Scope) TargetGroup(service string, f Face, c Colour) string {
	return short(s.Name(service, string(f), string(c)), 32)
}

// LoadBalancer is the name of the public load balancer, or of a service's
// internal one. AWS allows 32 characters.
func (s Scope) LoadBalancer(f Face, service string) string {
	if f == Public {
		return short(s.Name("public"), 32)
	}
	return short(s.Name(service, "internal"), 32)
}

// short cuts a name, and makes up for what was cut with a hash of the whole.
func short(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:limit-9], "-") + "-" + hex.EncodeToString(sum[:4])
}

// Role is the name of the role of a service's instances, and of their instance
// profile. AWS allows 64 characters.
func (s Scope) Role(service string) string { return short(s.Name(service), 64) }

// LogsBucket is what the name of the bucket for the public load balancer's access
// logs begins with: account and region follow, and AWS allows 63 characters. Its
// end is never cut, for the operator's policy knows it by that.
func (s Scope) LogsBucket() string { return short(s.Name(), 23) + "-access-logs" }

// Database is the identifier of the RDS instance of a database: at most 63 characters.
func (s Scope) Database(name string) string { return short(s.Name(name), 63) }

// DatabaseSecret is the name of the secret that services connect with: a JSON
// object with url, host, port, username, password and dbname. Terraform makes
// it empty; godwit fills it, so that no password is in Terraform's state.
func (s Scope) DatabaseSecret(database string) string {
	return strings.Join([]string{s.Landscape, s.Environment, "database", database}, "/")
}

// ServiceSecret is the name of the secret with what a service's env takes from
// env.NAME: a JSON object by NAME, a version for each set of values that a
// release was made with. Only services that do so have one.
func (s Scope) ServiceSecret(service string) string {
	return strings.Join([]string{s.Landscape, s.Environment, "service", service}, "/")
}

// LogGroup is the CloudWatch log group of a service.
func (s Scope) LogGroup(service string) string {
	return "/" + strings.Join([]string{s.Landscape, s.Environment, service}, "/")
}

// Metrics: the agent on an instance publishes these every ten seconds, in
// namespace MetricsNamespace, with dimension AutoScalingGroupName.
const (
	MetricsNamespace = "godwit"
	MetricCPU        = "cpu_usage_active" // percent
)

// Account is what there is one of in an account and region.
type Account struct {
	Landscape, AccountID, Region string
}

// StateBucket keeps Terraform's states, and the journal of rollouts.
func (a Account) StateBucket() string {
	return strings.Join([]string{a.Landscape, "state", a.AccountID, a.Region}, "-")
}

// AuditBucket keeps CloudTrail's log where nobody can change it.
func (a Account) AuditBucket() string {
	return strings.Join([]string{a.Landscape, "audit", a.AccountID, a.Region}, "-")
}

// StateKey is where in the bucket the state of a root is: "account", or an environment's name.
func StateKey(root string) string { return "terraform/" + root + ".tfstate" }

// JournalKey is where in the bucket the journal of a service's rollouts is.
func JournalKey(environment, service string) string {
	return "rollouts/" + environment + "/" + service + ".json"
}
