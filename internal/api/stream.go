package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

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
	op.Responses = map[string]*huma.Response{"200": {
		Description: "A stream of JSON lines: {event}, {row}, and last {result} or {failure}.",
		Content:     map[string]*huma.MediaType{"application/x-ndjson": {}},
	}}
	huma.Register(api, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			hc.SetHeader("Content-Type", "application/x-ndjson")
			w := &lineWriter{w: hc.BodyWriter()}
			result, err := run(hc.Context(), in, Sink{
				Event: func(e Event) { w.write(Line{Event: &e}) },
				Row:   func(v any) { w.write(Line{Row: marshal(v)}) },
			})
			if err != nil {
				w.write(Line{Failure: AsFailure(err)})
				return
			}
			w.write(Line{Result: marshal(result)})
		}}, nil
	})
}

// answer registers an operation with one JSON answer.
func answer[I, R any](api huma.API, op huma.Operation, run func(context.Context, *I) (R, error)) {
	huma.Register(api, op, func(ctx context.Context, in *I) (*struct{ Body R }, error) {
		result, err := run(ctx, in)
		if err != nil {
			return nil, asStatus(err)
		}
		return &struct{ Body R }{result}, nil
	})
}

// asStatus gives a Failure its HTTP status.
func asStatus(err error) error {
	return &statusFailure{AsFailure(err)}
}

// statusFailure writes a Failure as the body of an HTTP error.
type statusFailure struct {
	*Failure
}

func (s *statusFailure) GetStatus() int { return s.Code.HTTPStatus() }

func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(fmt.Sprintf("cannot be written as JSON: %v", err))
	}
	return b
}

type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// write sends a line at once. A client that is gone ends the operation through
// its context, so errors of writing need no second way out.
func (l *lineWriter) write(line Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := json.NewEncoder(l.w).Encode(line); err != nil {
		return
	}
	if f, ok := l.w.(http.Flusher); ok {
		f.Flush()
	}
}
