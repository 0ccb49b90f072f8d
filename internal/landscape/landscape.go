// Package landscape is the declared world: environments, services, databases,
// ingresses, sources, migrations and probes, as one value that is read from HCL
// bytes and checked as a whole.
//
// It is pure: no clock, no randomness, no file, no socket. Whoever reads files
// hands over their bytes; what is wrong with them comes back as Findings, all
// at once, each with a place and a mend. Everybody may import it.
package landscape

import (
	"net/netip"
	"time"
)

// Landscape is everything that was declared. Slices keep the order of
// declaration; names are unique within their kind.
type Landscape struct {
	Name         string
	Environments []Environment
	Services     []Service
	Databases    []Database
	Ingresses    []Ingress
	Sources      []Source
	Migrations   []Migration
	Probes       []Probe
	Pipelines    []Pipeline
	Shield       Shield
	AWS          *AWS // nil: nothing is said of AWS
}

// Environment is one private network: test, stage, production.
type Environment struct {
	Name      string
	Network   netip.Prefix // IPv4, masked
	Protected bool         // changes that lose data or traffic are refused without --approve
}

// Service is a program that serves requests, declared once, running in every environment.
type Service struct {
	Name   string
	Image  string // OCI layout directory or archive, relative to the landscape's directory; "" when Build is set
	Build  *Build
	Port   int              // TCP port that every instance listens on
	Env    map[string]Value // configuration, resolved by the site when an instance is launched
	Needs  []Ref            // the edges that are opened; nothing else is
	Health Health
	Scale  Scale
}

// Build makes an image from a command. The command runs in Dir with the
// environment variable OUT naming an empty directory; what it leaves there
// becomes the root file system.
type Build struct {
	Dir        string // relative to the landscape's directory
	Command    []string
	Entrypoint []string
}

// Health says when an instance is ready: Path answers 2xx within Timeout.
type Health struct {
	Path     string
	Interval time.Duration
	Timeout  time.Duration
}

// Scale bounds the number of instances of a service in one environment, and
// says what moves it between the bounds.
type Scale struct {
	Min, Max int
	Requests int           // wanted requests per second and instance; 0: the processor is the measure
	Warmup   time.Duration // from launch to full capacity
	Peaks    []Peak
}

// Peak is load that is known beforehand: every Friday evening.
type Peak struct {
	Name        string
	Days        []time.Weekday // empty: every day
	From, Until TimeOfDay      // Until before From: the morning after
	Timezone    string         // IANA name, "UTC" when not said
	Min         int            // instances that run during it, at least
}

// TimeOfDay is a time by the clock on the wall.
type TimeOfDay struct {
	Hour, Minute int
}

// Database is a database that every environment has for itself.
type Database struct {
	Name   string
	Engine string // "postgres"
}

// Ingress makes a service reachable from outside, through the gateway.
type Ingress struct {
	Name    string
	Host    string
	Service string
}

// Source is the data centre that the landscape moves out of.
type Source struct {
	Name      string
	Services  []SourceEndpoint
	Databases []SourceEndpoint
}

// SourceEndpoint is where a service or a database runs in the data centre.
type SourceEndpoint struct {
	Name string
	URL  Value // may refer to env.NAME, which is resolved only when it is used
}

// Migration moves a source into an environment.
type Migration struct {
	Name          string
	Source        string
	Environment   string
	MaxPause      time.Duration // budget of the whole write pause
	AutoKeys      bool          // tables without a key get a replica identity for the time of the migration
	EmptyUnlogged bool          // unlogged tables move without their rows
	KeepWAL       int64         // bytes of its log that a side keeps at most for the other one to follow
}

// Probe is a load that stands for the real clients, and the questions asked of
// the data afterwards.
type Probe struct {
	Name       string
	Ingress    string
	Requests   []ProbeRequest
	Ledger     []ProbeLedger
	Invariants []ProbeInvariant
}

// ProbeRequest is one kind of request, drawn by weight. Path and Body are
// templates, see package probe.
type ProbeRequest struct {
	Name    string
	Method  string
	Path    string
	Body    string
	Headers map[string]string
	Weight  int
	Ledger  string // name of the ledger that records its acknowledgement; "" for reads
}

// ProbeLedger finds the acknowledged writes again: Query returns rows of
// (key text, occurrences bigint).
type ProbeLedger struct {
	Name     string
	Database string
	Query    string
}

// ProbeInvariant is a query that returns one bigint, which must be zero:
// a count of what must not be.
type ProbeInvariant struct {
	Name     string
	Database string
	Query    string
}

// Ref names something declared: database.till, service.menu.
type Ref struct {
	Kind string // "service" | "database" | "source" | "environment" | "ingress"
	Name string
}

// Value is a string that may contain references, kept unresolved because they
// mean something else in every environment: "database.till.url".
type Value struct {
	Parts []Part
}

// Part is a literal or, when Ref is set, a reference to an attribute.
type Part struct {
	Literal string
	Ref     *AttrRef
}

// AttrRef is a reference to an attribute: service.menu.url, database.till.url,
// env.NAME (Kind "env", Name NAME, Attr "").
type AttrRef struct {
	Kind, Name, Attr string
}
