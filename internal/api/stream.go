package api

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// Sink receives what an operation says while it runs. Its methods may be called
// from several goroutines.
type Sink struct {
	Event func(Event)
	Row   func(any)
}

// stream registers an operation whose answer is a stream of Lines. The
// operation's context ends when the client goes away.
func stream[I, R any](api huma.API, op huma.Operation, run func(context.Context, *I, Sink) (R, error)) {
	op.MaxBodyBytes, op.BodyReadTimeout = -1, -1 // wholeBody has read it
	op.Responses = map[string]*huma.Response{"200": {
		Description: "JSON lines, each with one field: any number of event and row, and last result or failure.",
		Content:     map[string]*huma.MediaType{"application/x-ndjson": {Schema: lineOf[R](api.OpenAPI().Components.Schemas)}},
	}}
	huma.Register(api, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			hc.SetHeader("Content-Type", "application/x-ndjson")
			to := tellTo(hc.BodyWriter())
			defer to.end()
			result, err := run(hc.Context(), in, Sink{
				Event: func(e Event) { to.progress(e) },
				Row:   func(v any) { to.tell(&Line{Row: marshal(v)}) },
			})
			if err != nil {
				to.tell(&Line{Failure: failureOf(hc.Context(), err)})
				return
			}
			to.tell(&Line{Result: marshal(result)})
		}}, nil
	})
}

// lineOf describes the lines of a stream that ends with an R.
func lineOf[R any](registry huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"event":   registry.Schema(reflect.TypeFor[Event](), true, ""),
		"row":     {},
		"result":  registry.Schema(reflect.TypeFor[R](), true, ""),
		"failure": registry.Schema(reflect.TypeFor[Failure](), true, ""),
	}}
}

// answer registers an operation with one JSON answer.
func answer[I, R any](api huma.API, op huma.Operation, run func(context.Context, *I) (R, error)) {
	huma.Register(api, op, func(ctx context.Context, in *I) (*struct{ Body R }, error) {
		result, err := run(ctx, in)
		if err != nil {
			return nil, &statusFailure{failureOf(ctx, err)}
		}
		return &struct{ Body R }{result}, nil
	})
}

func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(fmt.Sprintf("cannot be written as JSON: %v", err))
	}
	return b
}
