package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/api/client"
	"godwit/internal/landscape"
	"godwit/internal/plan"
)

// engine does what a test says; what it does not say is not called.
type engine struct {
	api.Engine
	status func() (api.Status, error)
	up     func(context.Context, api.UpRequest, api.Sink) (api.UpResult, error)
	check  func(name string) (api.Checks, error)
	logs   func(context.Context, api.Sink) error
}

func (e *engine) Status(context.Context) (api.Status, error) { return e.status() }
func (e *engine) Up(ctx context.Context, r api.UpRequest, s api.Sink) (api.UpResult, error) {
	return e.up(ctx, r, s)
}
func (e *engine) Check(_ context.Context, name string, _ api.Sink) (api.Checks, error) {
	return e.check(name)
}
func (e *engine) Logs(ctx context.Context, _ api.LogsRequest, s api.Sink) (struct{}, error) {
	return struct{}{}, e.logs(ctx, s)
}
func (e *engine) Isolation(context.Context, api.Sink) (api.Isolation, error) {
	return api.Isolation{Pairs: 1}, nil
}

// serve answers on a unix socket until the test ends.
func serve(t *testing.T, e api.Engine) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.Handler(e, "1.2.3")}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return socket
}

// ask sends a request as bytes and returns the answer.
func ask(t *testing.T, socket, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, request) // the server may have answered before it has read all
		_ = conn.(*net.UnixConn).CloseWrite()
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res, string(b)
}

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: e\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

func TestStream(t *testing.T) {
	t.Parallel()
	want := api.UpResult{Plan: plan.Plan{Unchanged: 3}, Gateway: "127.0.0.1:1", Routes: []api.Route{{Host: "h", Pool: "p"}}}
	c := client.New(serve(t, &engine{up: func(_ context.Context, r api.UpRequest, s api.Sink) (api.UpResult, error) {
		if r.Listen != "127.0.0.1:1" || string(r.Landscape.Files[0].Bytes) != "a\xff" || r.Landscape.Env["A"] != "b" || !r.Approve {
			t.Errorf("got %+v", r)
		}
		for i := range 100 {
			s.Event(api.Event{Scope: "test", Step: fmt.Sprint(i), State: "done"})
		}
		return want, nil
	}}))
	var steps []string
	got, err := c.Up(t.Context(), api.UpRequest{Listen: "127.0.0.1:1", Approve: true, Landscape: api.Landscape{
		Files: []api.File{{Name: "a.hcl", Bytes: []byte("a\xff")}}, Env: map[string]string{"A": "b"}}},
		client.Watch{Event: func(e api.Event) { steps = append(steps, e.Step) }})
	if err != nil {
		t.Fatal(err)
	}
	if got.Gateway != want.Gateway || !slices.Equal(got.Routes, want.Routes) || got.Plan.Unchanged != 3 {
		t.Errorf("got %+v", got)
	}
	if len(steps) != 100 || steps[99] != "99" {
		t.Errorf("got the events %v", steps)
	}
}

// TestEventsComeWhileItRuns: progress is not kept back until the end.
func TestEventsComeWhileItRuns(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	c := client.New(serve(t, &engine{up: func(ctx context.Context, _ api.UpRequest, s api.Sink) (api.UpResult, error) {
		s.Event(api.Event{Scope: "test", State: "begun"})
		select {
		case <-seen:
			return api.UpResult{}, nil
		case <-ctx.Done():
			return api.UpResult{}, ctx.Err()
		}
	}}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := c.Up(ctx, api.UpRequest{}, client.Watch{Event: func(api.Event) { close(seen) }}); err != nil {
		t.Fatal(err)
	}
}

// TestNobodyReads: a client that is stopped keeps no operation waiting, and is told
// how it ended once it reads again.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan struct{})
	socket := serve(t, &engine{up: func(_ context.Context, _ api.UpRequest, s api.Sink) (api.UpResult, error) {
		defer close(done)
		for range 20_000 {
			s.Event(api.Event{Scope: "test", Message: strings.Repeat("x", 1<<10)})
		}
		return api.UpResult{Gateway: "127.0.0.1:1"}, nil
	}})
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, post("/v1/up", `{"landscape":{"dir":"/","files":[]}}`)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("the operation waits for a client that does not read")
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err != nil || !strings.Contains(lines[len(lines)-1], `"gateway":"127.0.0.1:1"`) || !strings.Contains(string(text), "lines were left out") {
		t.Errorf("%d lines, %v, the last is %.200s", len(lines), err, lines[len(lines)-1])
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	c := client.New(serve(t, &engine{logs: func(_ context.Context, s api.Sink) error {
		s.Row(api.LogLine{Instance: "a-1", Line: "\x1b[31m\"quoted\"\n" + strings.Repeat("x", 1<<20)})
		s.Row(api.LogLine{Instance: "a-2"})
		return nil
	}}))
	var got []api.LogLine
	err := c.Logs(t.Context(), api.LogsRequest{}, client.Watch{Row: func(row json.RawMessage) {
		var l api.LogLine
		if err := json.Unmarshal(row, &l); err != nil {
			t.Error(err)
		}
		got = append(got, l)
	}})
	if err != nil || len(got) != 2 || len(got[0].Line) < 1<<20 || got[1].Instance != "a-2" {
		t.Errorf("got %d rows, %v", len(got), err)
	}
}

func TestFailuresTravel(t *testing.T) {
	t.Parallel()
	findings := landscape.Findings{{Severity: landscape.Error, File: "a.hcl", Line: 3, Column: 2, Summary: "bad", Mend: "good"}}
	for code, status := range map[api.Code]int{api.Failed: 500, api.Usage: 422, api.Refused: 403, api.Missing: 404, api.Busy: 409} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			failure := fmt.Errorf("around: %w", &api.Failure{Code: code, Message: "inside", Findings: findings})
			socket := serve(t, &engine{
				status: func() (api.Status, error) { return api.Status{}, failure },
				check:  func(string) (api.Checks, error) { return api.Checks{}, failure },
			})
			c := client.New(socket)
			_, single := c.Status(t.Context())
			_, streamed := c.Check(t.Context(), "m", client.Watch{})
			for _, err := range []error{single, streamed} {
				var f *api.Failure
				if !errors.As(err, &f) || f.Code != code || f.Message != "around: inside" || len(f.Findings) != 1 || f.Findings[0] != findings[0] {
					t.Errorf("got %#v", err)
				}
			}
			if res, body := ask(t, socket, "GET /v1/status HTTP/1.1\r\nHost: e\r\n\r\n"); res.StatusCode != status {
				t.Errorf("got %d %s, want %d", res.StatusCode, body, status)
			}
		})
	}
}

// TestOtherErrors: an error that is no Failure has failed.
func TestOtherErrors(t *testing.T) {
	t.Parallel()
	c := client.New(serve(t, &engine{check: func(string) (api.Checks, error) { return api.Checks{}, io.ErrClosedPipe }}))
	_, err := c.Check(t.Context(), "m", client.Watch{})
	var f *api.Failure
	if !errors.As(err, &f) || f.Code != api.Failed || f.Message != io.ErrClosedPipe.Error() {
		t.Errorf("got %#v", err)
	}
}

// TestNamesAreEscaped: a name is one element of the path, whatever is in it.
func TestNamesAreEscaped(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"datacenter", "a/b", "a b?c#d", "ü%2F"} {
		got := ""
		c := client.New(serve(t, &engine{check: func(name string) (api.Checks, error) {
			got = name
			return api.Checks{Go: true}, nil
		}}))
		if checks, err := c.Check(t.Context(), name, client.Watch{}); err != nil || !checks.Go || got != name {
			t.Errorf("%q arrived as %q: %v", name, got, err)
		}
	}
}

// TestClientGone: an operation ends with the client that asked for it, also when
// that has waited for longer than a request may take to be sent.
func TestClientGone(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	c := client.New(serve(t, &engine{up: func(ctx context.Context, _ api.UpRequest, s api.Sink) (api.UpResult, error) {
		s.Event(api.Event{State: "begun"})
		<-ctx.Done()
		ended <- ctx.Err()
		return api.UpResult{}, ctx.Err()
	}}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	_, err := c.Up(ctx, api.UpRequest{}, client.Watch{Event: func(api.Event) { close(begun) }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the operation goes on without its client")
	}
}

// TestEngineGone: a stream that is cut off is no success.
func TestEngineGone(t *testing.T) {
	t.Parallel()
	c := client.New(serve(t, &engine{up: func(_ context.Context, _ api.UpRequest, s api.Sink) (api.UpResult, error) {
		s.Event(api.Event{State: "begun"})
		panic(http.ErrAbortHandler)
	}}))
	if _, err := c.Up(t.Context(), api.UpRequest{}, client.Watch{}); !errors.Is(err, client.ErrCutOff) {
		t.Errorf("got %v", err)
	}
	c = client.New(serve(t, &engine{status: func() (api.Status, error) { panic(http.ErrAbortHandler) }}))
	if _, err := c.Status(t.Context()); !errors.Is(err, client.ErrCutOff) {
		t.Errorf("before an answer: got %v", err)
	}
}

func TestNoEngine(t *testing.T) {
	t.Parallel()
	gone := filepath.Join(t.TempDir(), "s")
	if _, err := client.New(gone).Status(t.Context()); !errors.Is(err, client.ErrNoEngine) {
		t.Errorf("no socket: got %v", err)
	}
	ln, err := net.Listen("unix", gone)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if _, err := client.New(gone).Status(t.Context()); !errors.Is(err, client.ErrNoEngine) {
		t.Errorf("a socket that nobody listens on: got %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.New(gone).Status(cancelled); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrNoEngine) {
		t.Errorf("cancelled: got %v", err)
	}
}

// TestHostileRequests: each is answered at once with a 4xx and a Failure that
// says what is wrong, and none reaches the engine.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	socket := serve(t, &engine{})
	deep := strings.Repeat("[", 1_000_000)
	for name, c := range map[string]struct {
		request string
		status  int
		says    string
	}{
		"half-written": {"POST /v1/up HTTP/1.1\r\nHost: e\r\nContent-Length: 100\r\n\r\n{\"landscape\":", 422, "in the middle"},
		"half a chunk": {"POST /v1/up HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"la", 422, "in the middle"},
		"bad chunk":    {"POST /v1/up HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n", 422, "in the middle"},
		"huge":         {"POST /v1/up HTTP/1.1\r\nHost: e\r\nContent-Length: 99999999999\r\n\r\n" + strings.Repeat("x", 65<<20), 422, "larger than"},
		"empty":        {post("/v1/up", ""), 422, "required"},
		"no JSON":      {post("/v1/up", "up please"), 422, "invalid character"},
		"deep":         {post("/v1/up", deep), 422, "depth"},
		"wrong type":   {post("/v1/up", `{"landscape": "bistro"}`), 422, "landscape"},
		"unknown":      {post("/v1/down", `{"aprove": true}`), 422, "aprove"},
		"bad choice":   {post("/v1/up", `{"landscape":{"dir":"/","files":[]},"isolation":"some"}`), 422, "isolation"},
		"an array":     {post("/v1/deploy", `[]`), 422, "object"},
		"no base64":    {post("/v1/plan", `{"dir":"/","files":[{"name":"a","bytes":"###"}]}`), 422, "bytes"},
		"long name":    {post("/v1/migrations/"+strings.Repeat("a", 65)+"/check", ""), 422, "name"},
		"no route":     {post("/v1/nothing", ""), 404, "1.2.3"},
		"wrong method": {"GET /v1/up HTTP/1.1\r\nHost: e\r\n\r\n", 404, "GET /v1/up"},
		"upwards":      {"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: e\r\n\r\n", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, body := ask(t, socket, c.request)
			if c.status == 0 {
				if res.StatusCode < 300 {
					t.Errorf("got %s", res.Status)
				}
				return
			}
			var f api.Failure
			if err := json.Unmarshal([]byte(body), &f); err != nil {
				t.Fatalf("%s: %q: %v", res.Status, body, err)
			}
			if res.StatusCode != c.status || !strings.Contains(f.Message, c.says) || len(f.Message) > 1000 {
				t.Errorf("got %s %q, want %d with %q", res.Status, f.Message, c.status, c.says)
			}
			if f.Code != api.Usage && f.Code != api.Missing {
				t.Errorf("got code %s", f.Code)
			}
		})
	}
}

// TestNoSecretsInComplaints: a request that is not accepted may hold passwords.
func TestNoSecretsInComplaints(t *testing.T) {
	t.Parallel()
	socket := serve(t, &engine{})
	for _, body := range []string{
		`{"landscape":{"dir":"/","files":[],"env":{"A":["hunter2"]}}}`,
		`{"landscape":{"dir":"/","files":"hunter2"}}`,
		`{"password":"hunter2"}`,
	} {
		if res, answer := ask(t, socket, post("/v1/up", body)); res.StatusCode/100 != 4 || strings.Contains(answer, "hunter2") {
			t.Errorf("%s: %s %s", body, res.Status, answer)
		}
	}
}

// TestOpenAPI: the document lists every route that answers, and what it answers with.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	_, body := ask(t, serve(t, &engine{}), "GET /openapi.json HTTP/1.1\r\nHost: e\r\n\r\n")
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Summary     string
			Responses   map[string]struct{ Content map[string]json.RawMessage }
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("%v: %.200s", err, body)
	}
	var got []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			got = append(got, method+" "+path)
			if op.Summary == "" || op.Responses["default"].Content["application/json"] == nil {
				t.Errorf("%s: without a summary, or without what it fails with", path)
			}
			for kind, content := range op.Responses["200"].Content {
				if !strings.Contains(string(content), "#/components/schemas/") {
					t.Errorf("%s: %s is not described", path, kind)
				}
			}
		}
	}
	slices.Sort(got)
	const m = "post /v1/migrations/{name}/"
	want := []string{"get /healthz", "get /v1/migrations/{name}", "get /v1/migrations/{name}/by-hand", "get /v1/status", "post /v1/abandon", "post /v1/deploy", "post /v1/down", "post /v1/isolation",
		"post /v1/ledger", "post /v1/logs", m + "abandon", m + "abort", m + "apply", m + "check", m + "cutover", m + "finish", m + "rollback", m + "sync",
		m + "verify", "post /v1/plan", "post /v1/rollback", "post /v1/up"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, reference := range strings.Split(body, `"#/components/schemas/`)[1:] {
		if name, _, _ := strings.Cut(reference, `"`); doc.Components.Schemas[name] == nil {
			t.Errorf("refers to %s, which is not there", name)
		}
	}
}

// TestEmptyRequest: an operation without a body is asked for without one.
func TestEmptyRequest(t *testing.T) {
	t.Parallel()
	c := client.New(serve(t, &engine{}))
	if i, err := c.Isolation(t.Context(), client.Watch{}); err != nil || i.Pairs != 1 {
		t.Errorf("got %+v, %v", i, err)
	}
}
