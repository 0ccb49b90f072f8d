// Package api is the engine's HTTP API: wire types and handlers. Long
// operations answer with a stream of JSON lines: events while they run, then
// exactly one line with the result or the error. The engine is behind the
// Engine interface, so api imports no doing package; api/client speaks the same
// types from the other end.
package api

import (
	"time"

	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/plan"
	"godwit/internal/site"
)

// Landscape is a landscape as a client hands it over: the bytes, where they
// came from, and the values of the environment variables they refer to.
type Landscape struct {
	Dir   string            `json:"dir" doc:"absolute directory that images and builds are relative to"`
	Files []File            `json:"files"`
	Env   map[string]string `json:"env,omitempty" doc:"values of the env.NAME references"`
}

// File is one landscape file.
type File struct {
	Name  string `json:"name"`
	Bytes []byte `json:"bytes"`
}

// UpRequest brings a landscape up. Site, Listen and Isolation count the first
// time; afterwards "" means as before, and another value is refused.
type UpRequest struct {
	Site      string    `json:"site,omitempty" enum:"local,aws," doc:"where the environments are; local when it was never said"`
	AWS       *AWS      `json:"aws,omitempty" doc:"how AWS is reached; as before when it is left out"`
	Landscape Landscape `json:"landscape"`
	Listen    string    `json:"listen,omitempty" doc:"host:port of the gateway"`
	Isolation string    `json:"isolation,omitempty" enum:"namespaces,none,"`
	Approve   bool      `json:"approve,omitempty" doc:"allow changes that a protected environment refuses"`
}

// AWS is how the engine reaches AWS. Without keys they come from the profile, or the
// machine's role.
type AWS struct {
	Endpoint   string  `json:"endpoint,omitempty" doc:"URL of an emulator instead of AWS"`
	Profile    string  `json:"profile,omitempty" doc:"of AWS's configuration files"`
	DatabaseCA string  `json:"database_ca,omitempty" doc:"file with RDS's certificate authorities; without it its connections are only encrypted"`
	Keys       AWSKeys `json:"keys,omitzero" doc:"of the command's environment; they count before a profile of earlier"`
}

// AWSKeys are credentials as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_SESSION_TOKEN name them. They are in no process's environment, and gone with
// down.
type AWSKeys struct {
	ID      string `json:"id,omitempty"`
	Secret  string `json:"secret,omitempty"`
	Session string `json:"session,omitempty"`
}

// UpResult says what was done.
type UpResult struct {
	Plan    plan.Plan `json:"plan"`
	Gateway string    `json:"gateway" doc:"address the gateway listens on"`
	Routes  []Route   `json:"routes"`
}

// Route is where the gateway sends the requests for a host.
type Route struct {
	Host string `json:"host"`
	Pool string `json:"pool"`
}

// DeployRequest deploys a service. Image "" builds or imports what the
// landscape declares; Environment "" means every environment, test first.
type DeployRequest struct {
	Service     string `json:"service"`
	Environment string `json:"environment,omitempty"`
	Image       string `json:"image,omitempty" doc:"absolute path of an OCI layout or archive"`
}

// RollbackRequest returns a service to an earlier release. To 0 means the one before
// the current: for a request that is sent again with the same ID, the one that it
// meant at first.
type RollbackRequest struct {
	Service     string `json:"service"`
	Environment string `json:"environment,omitempty"`
	To          int    `json:"to,omitempty"`
	ID          string `json:"id,omitempty" doc:"names this request, so that it may be sent again"`
}

// AbandonRequest gives up what is unfinished of a service's rollouts. Environment ""
// means in every environment.
type AbandonRequest struct {
	Service     string `json:"service"`
	Environment string `json:"environment,omitempty"`
}

// Rollout is how one rollout ended.
type Rollout struct {
	Environment string           `json:"environment"`
	Service     string           `json:"service"`
	From        int              `json:"from"`
	To          int              `json:"to"`
	Outcome     string           `json:"outcome" enum:"done,unchanged,refused,undone,stuck,given-up,waits"`
	Reason      string           `json:"reason,omitempty"`
	Failed      uint64           `json:"failed_requests" doc:"errors that clients saw from the new release"`
	Shielded    uint64           `json:"shielded" doc:"errors of the new release that the old one answered instead"`
	Problem     string           `json:"problem,omitempty" doc:"what closes the way to the other side of a migration, like a release that changed definitions"`
	Steps       []journal.Result `json:"steps,omitempty"`
}

// Alive is what the engine knows without asking anybody: no site, no database.
type Alive struct {
	Version    string    `json:"version"`
	Since      time.Time `json:"since" doc:"when this engine was started"`
	UnderWay   string    `json:"under_way,omitempty" doc:"the operation that runs now"`
	Migrations []string  `json:"migrations,omitempty" doc:"names of those that are declared"`
}

// Status is everything the engine sees.
type Status struct {
	Landscape    string        `json:"landscape"`
	Version      string        `json:"version"`
	Site         string        `json:"site"`
	Isolation    string        `json:"isolation"`
	Problem      string        `json:"problem,omitempty" doc:"what keeps the engine from seeing the landscape; environments and migrations have problems of their own"`
	Gateway      Gateway       `json:"gateway"`
	Environments []Environment `json:"environments"`
	Migrations   []Migration   `json:"migrations,omitempty"`
	Unfinished   []string      `json:"unfinished,omitempty" doc:"journal runs that could neither be finished nor undone yet"`
}

// Environment and Database are as a site observes them.
type (
	Environment = site.Environment
	Database    = site.Database
)

// Gateway is the gateway's state.
type Gateway struct {
	Address string  `json:"address"`
	Healthy bool    `json:"healthy"`
	Routes  []Route `json:"routes"`
}

// Migration is the state of a migration.
type Migration struct {
	Name        string        `json:"name"`
	Source      string        `json:"source"`
	Environment string        `json:"environment"`
	Phase       string        `json:"phase" enum:"adopted,syncing,synced,cut-over,rolled-back,finished,aborted"`
	Truth       string        `json:"truth" doc:"the side that holds the truth" enum:"source,target"`
	LagBytes    int64         `json:"lag_bytes"`
	Databases   []SyncState   `json:"databases,omitempty"`
	Cutover     *SwitchReport `json:"cutover,omitempty"`
	Rollback    *SwitchReport `json:"rollback,omitempty"`
	Problem     string        `json:"problem,omitempty"`
}

// LeaveRequest says how a migration is ended.
type LeaveRequest struct {
	WithoutSource bool `query:"without_source" doc:"the source is gone for good: nothing is asked of it"`
}

// AbandonedRun is a cutover, rollback or change of definitions that was given up.
type AbandonedRun struct {
	Migration string   `json:"migration"`
	Kind      string   `json:"kind"`
	Outcome   string   `json:"outcome"` // given-up; or how it had ended meanwhile
	Truth     string   `json:"truth" doc:"side that clients are sent to: source or target"`
	Left      []string `json:"left" doc:"steps that were begun and not taken back"`
	Next      string   `json:"next" doc:"what to do about them"`
}

// ApplyRequest is a change of definitions for both sides of a migration.
type ApplyRequest struct {
	Database string `json:"database,omitempty" maxLength:"64" doc:"where the migration moves several"`
	SQL      string `json:"sql" doc:"statements, which run in one transaction on each side"`
	CatchUp  bool   `json:"catch_up,omitempty" doc:"the side that holds the truth has the change already: only the other one gets it"`
	Key      string `json:"key,omitempty" pattern:"^[A-Za-z0-9]*$" maxLength:"64" doc:"of this request: sent again, it is answered with how the first one came out"`
}

// How a change of definitions comes out.
const (
	AppliedDone    = "done"    // both sides have it
	AppliedRefused = "refused" // neither has
	AppliedHalf    = "half"    // only the side that holds the truth has
)

// Applied is how a change of definitions came out.
type Applied struct {
	Migration string    `json:"migration"`
	Database  string    `json:"database"`
	Truth     string    `json:"truth" enum:"source,target" doc:"the side that holds the truth"`
	At        time.Time `json:"at"`
	Outcome   string    `json:"outcome" enum:"done,refused,half"`
	Changes   []string  `json:"changes"`
	Reason    string    `json:"reason,omitempty"`
}

// ByHand is how to open a source without an engine.
type ByHand struct {
	Databases []Script `json:"databases"`
}

// Script is for one database.
type Script struct {
	Database string `json:"database"`
	SQL      string `json:"sql" doc:"for psql, as a superuser"`
}

// SyncState is how far the copy of one database is.
type SyncState struct {
	Database     string `json:"database"`
	TablesCopied int    `json:"tables_copied"`
	Tables       int    `json:"tables"`
	LagBytes     int64  `json:"lag_bytes"`
}

// SwitchReport is one change of the truth: a cutover or a rollback.
type SwitchReport struct {
	At           time.Time          `json:"at"`
	Outcome      string             `json:"outcome" enum:"done,undone,stuck"`
	WritePauseMS float64            `json:"write_pause_ms"`
	Steps        []StepTime         `json:"steps"`
	LSN          map[string]string  `json:"lsn,omitempty" doc:"fence position by database"`
	Held         int64              `json:"held" doc:"requests that waited in the gateway"`
	LongestMS    float64            `json:"longest_hold_ms"`
	Expired      bool               `json:"lease_expired,omitempty"`
	Recalled     int64              `json:"recalled,omitempty" doc:"safe requests without an answer that were taken back to the gate and sent again"`
	EndedBy      map[string]int64   `json:"ended_by,omitempty" doc:"how many requests were ended so that nobody waits for them, by their state"`
	Ended        []EndedRequest     `json:"ended,omitempty" doc:"of those, the first hundred"`
	Failed       string             `json:"failed_step,omitempty"`
	Reason       string             `json:"reason,omitempty"`
	Findings     landscape.Findings `json:"findings,omitempty"`
}

// EndedRequest is a request that a switch ended: an upload that did not come, a
// stream, a slow reader, an upgraded connection.
type EndedRequest struct {
	State  string  `json:"state"`
	Method string  `json:"method"`
	Host   string  `json:"host"`
	Path   string  `json:"path" doc:"without the query"`
	AgeMS  float64 `json:"age_ms"`
	In     int64   `json:"bytes_in"`
	Out    int64   `json:"bytes_out"`
}

// StepTime is a step and how long it took.
type StepTime struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
}

// Checks are the findings of a migration check.
type Checks struct {
	Findings landscape.Findings `json:"findings"`
	Go       bool               `json:"go" doc:"true when nothing stands against a cutover"`
}

// Verification compares both sides of a migration.
type Verification struct {
	Tables    int      `json:"tables"`
	Rows      int64    `json:"rows"`
	Chunks    int      `json:"chunks"`
	Differing []string `json:"differing,omitempty"`
	Equal     bool     `json:"equal"`
	Problem   string   `json:"problem,omitempty" doc:"what to do about definitions that are not alike"`
}

// Found is one key of a ledger as found in the data.
type Found struct {
	Ledger string `json:"ledger"`
	Key    string `json:"key"`
	Count  int64  `json:"count"`
}

// LedgerRequest asks for what a probe's ledgers and invariants find in the
// database that holds the truth.
type LedgerRequest struct {
	Probe string `json:"probe"`
}

// LedgerResult ends the stream of Found.
type LedgerResult struct {
	Side       string           `json:"side" doc:"which database was asked"`
	Invariants map[string]int64 `json:"invariants"`
}

// Isolation is the outcome of the packet test.
type Isolation struct {
	Pairs   int      `json:"pairs"`
	Allowed int      `json:"allowed"`
	Denied  int      `json:"denied"`
	Wrong   int      `json:"wrong"`
	Details []string `json:"details,omitempty" doc:"what was wrong"`
}

// LogLine is one line of an instance's output.
type LogLine struct {
	Environment string `json:"environment"`
	Instance    string `json:"instance"`
	Line        string `json:"line"`
}

// LogsRequest chooses lines. Environment, Service "" mean all; Tail is per instance.
type LogsRequest struct {
	Environment string `json:"environment,omitempty"`
	Service     string `json:"service,omitempty"`
	Tail        int    `json:"tail,omitempty"`
	Follow      bool   `json:"follow,omitempty"`
}

// DownRequest ends everything. Approve is needed when protected environments run.
type DownRequest struct {
	Approve bool `json:"approve,omitempty"`
}

// Event is progress.
type Event struct {
	At      time.Time `json:"at"`
	Scope   string    `json:"scope"`          // "production/till", "gateway", "migration datacenter"
	Step    string    `json:"step,omitempty"` // what is being done
	State   string    `json:"state"`          // begun, done, failed, undoing, note
	Message string    `json:"message,omitempty"`
	MS      float64   `json:"ms,omitempty"`
}

// Machine is what the local site finds on this machine.
type Machine struct {
	Postgres         string   `json:"postgres"`
	PostgresPrograms string   `json:"postgres_programs"`
	Problems         []string `json:"problems" doc:"what isolation lacks, each with its mend"`
}
