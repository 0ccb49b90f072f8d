package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"godwit/internal/plan"
)

// Engine is what the API does its work with.
type Engine interface {
	Health(ctx context.Context) (Alive, error)
	Status(ctx context.Context) (Status, error)
	Plan(ctx context.Context, l Landscape, sink Sink) (plan.Plan, error)
	Up(ctx context.Context, r UpRequest, sink Sink) (UpResult, error)
	Deploy(ctx context.Context, r DeployRequest, sink Sink) ([]Rollout, error)
	Rollback(ctx context.Context, r RollbackRequest, sink Sink) ([]Rollout, error)
	Abandon(ctx context.Context, r AbandonRequest, sink Sink) ([]Rollout, error)
	Logs(ctx context.Context, r LogsRequest, sink Sink) (struct{}, error)
	Isolation(ctx context.Context, sink Sink) (Isolation, error)
	Ledger(ctx context.Context, r LedgerRequest, sink Sink) (LedgerResult, error)
	Down(ctx context.Context, r DownRequest, sink Sink) (struct{}, error)

	MigrationStatus(ctx context.Context, name string) (Migration, error)
	Check(ctx context.Context, name string, sink Sink) (Checks, error)
	Sync(ctx context.Context, name string, sink Sink) (Migration, error)
	Cutover(ctx context.Context, name string, sink Sink) (SwitchReport, error)
	RollbackMigration(ctx context.Context, name string, sink Sink) (SwitchReport, error)
	Verify(ctx context.Context, name string, sink Sink) (Verification, error)
	Apply(ctx context.Context, name string, r ApplyRequest, sink Sink) (Applied, error)
	Finish(ctx context.Context, name string, r LeaveRequest, sink Sink) (Migration, error)
	Abort(ctx context.Context, name string, r LeaveRequest, sink Sink) (Migration, error)
	AbandonRun(ctx context.Context, name string, sink Sink) (AbandonedRun, error)
	ByHand(ctx context.Context, name string) (ByHand, error)
}

type (
	empty struct{}
	named struct {
		Name string `path:"name" maxLength:"64" doc:"name of the migration"`
	}
	leave struct {
		Name string `path:"name" maxLength:"64" doc:"name of the migration"` // not embedded: huma fills only exported fields
		LeaveRequest
	}
	apply struct {
		Name string `path:"name" maxLength:"64" doc:"name of the migration"`
		Body ApplyRequest
	}
	body[T any] struct{ Body T }
)

// Handler serves the API over an Engine.
func Handler(e Engine, version string) http.Handler {
	answerWithFailures()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeFailure(w, Fail(Missing, "this engine (godwit %s) has no %s %s: is it of another version than the command?", version, r.Method, r.URL.Path))
	})
	table(mux, e, version)
	return concealing(e, wholeBody(admission(e), mux))
}

// table registers every route at a mux.
func table(mux *http.ServeMux, e Engine, version string) huma.API {
	config := huma.DefaultConfig("godwit", version)
	config.DocsPath = ""     // the default page loads a script from elsewhere
	config.CreateHooks = nil // no $schema links in answers
	config.SchemasPath = ""
	api := humago.New(mux, config)
	registerLandscape(api, e)
	registerMigrations(api, e)
	return api
}

func registerLandscape(api huma.API, e Engine) {
	answer(api, get("health", "/healthz", "That the engine lives; asks nobody else"),
		func(ctx context.Context, _ *empty) (Alive, error) { return e.Health(ctx) })
	answer(api, get("status", "/v1/status", "Everything the engine sees"),
		func(ctx context.Context, _ *empty) (Status, error) { return e.Status(ctx) })
	stream(api, ask("plan", "/v1/plan", "What up would change"),
		func(ctx context.Context, in *body[Landscape], s Sink) (plan.Plan, error) {
			return e.Plan(ctx, in.Body, s)
		})
	stream(api, post("up", "/v1/up", "Bring the landscape up as declared"),
		func(ctx context.Context, in *body[UpRequest], s Sink) (UpResult, error) { return e.Up(ctx, in.Body, s) })
	stream(api, post("deploy", "/v1/deploy", "Roll out a new release of a service"),
		func(ctx context.Context, in *body[DeployRequest], s Sink) ([]Rollout, error) {
			return e.Deploy(ctx, in.Body, s)
		})
	stream(api, post("rollback", "/v1/rollback", "Return a service to an earlier release"),
		func(ctx context.Context, in *body[RollbackRequest], s Sink) ([]Rollout, error) {
			return e.Rollback(ctx, in.Body, s)
		})
	stream(api, post("abandon", "/v1/abandon", "Give up a rollout that is stuck; the release that serves stays"),
		func(ctx context.Context, in *body[AbandonRequest], s Sink) ([]Rollout, error) {
			return e.Abandon(ctx, in.Body, s)
		})
	stream(api, ask("logs", "/v1/logs", "Output of instances, one row a line"),
		func(ctx context.Context, in *body[LogsRequest], s Sink) (struct{}, error) {
			return e.Logs(ctx, in.Body, s)
		})
	stream(api, post("isolation", "/v1/isolation", "Send real packets over every ordered pair and compare with the landscape"),
		func(ctx context.Context, _ *empty, s Sink) (Isolation, error) { return e.Isolation(ctx, s) })
	stream(api, ask("ledger", "/v1/ledger", "What a probe's ledgers find in the data, one row a key"),
		func(ctx context.Context, in *body[LedgerRequest], s Sink) (LedgerResult, error) {
			return e.Ledger(ctx, in.Body, s)
		})
	stream(api, post("down", "/v1/down", "End everything the engine runs"),
		func(ctx context.Context, in *body[DownRequest], s Sink) (struct{}, error) {
			return e.Down(ctx, in.Body, s)
		})
}

func registerMigrations(api huma.API, e Engine) {
	const base = "/v1/migrations/{name}"
	answer(api, get("migration-status", base, "State of a migration"),
		func(ctx context.Context, in *named) (Migration, error) { return e.MigrationStatus(ctx, in.Name) })
	stream(api, post("migration-check", base+"/check", "What stands against the migration"), onMigration(e.Check))
	stream(api, post("migration-sync", base+"/sync", "Copy schema and data, keep them in step"), onMigration(e.Sync))
	stream(api, post("migration-cutover", base+"/cutover", "Make the environment the truth"), onMigration(e.Cutover))
	stream(api, post("migration-rollback", base+"/rollback", "Make the source the truth again"), onMigration(e.RollbackMigration))
	stream(api, post("migration-verify", base+"/verify", "Compare every table of both sides"), onMigration(e.Verify))
	stream(api, post("migration-apply", base+"/apply", "Change definitions on both sides"),
		func(ctx context.Context, in *apply, s Sink) (Applied, error) {
			return e.Apply(ctx, in.Name, in.Body, s)
		})
	stream(api, post("migration-finish", base+"/finish", "Remove the way back"), leaving(e.Finish))
	stream(api, post("migration-abort", base+"/abort", "Remove everything of the migration from both sides"), leaving(e.Abort))
	stream(api, post("migration-abandon", base+"/abandon", "Give up a switch or a change of definitions that is stuck; both sides stay as they are"), onMigration(e.AbandonRun))
	answer(api, get("migration-by-hand", base+"/by-hand", "SQL that opens the source without an engine"),
		func(ctx context.Context, in *named) (ByHand, error) { return e.ByHand(ctx, in.Name) })
}

func onMigration[R any](do func(context.Context, string, Sink) (R, error)) func(context.Context, *named, Sink) (R, error) {
	return func(ctx context.Context, in *named, s Sink) (R, error) { return do(ctx, in.Name, s) }
}

func leaving(do func(context.Context, string, LeaveRequest, Sink) (Migration, error)) func(context.Context, *leave, Sink) (Migration, error) {
	return func(ctx context.Context, in *leave, s Sink) (Migration, error) {
		return do(ctx, in.Name, in.LeaveRequest, s)
	}
}

// reads marks the routes that only look: whatever runs, they change nothing.
const reads = "x-reads"

// get and ask are of routes that only look, post of those that change something.
func get(id, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Extensions: map[string]any{reads: true}}
}

func ask(id, path, summary string) huma.Operation {
	op := post(id, path, summary)
	op.Extensions = map[string]any{reads: true}
	return op
}

func post(id, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodPost, Path: path, Summary: summary}
}
