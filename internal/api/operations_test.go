package api_test

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/api/client"
)

// TestOperations: the table says which routes only look.
func TestOperations(t *testing.T) {
	t.Parallel()
	var looks, changes []string
	for _, op := range api.Operations() {
		if op.Reads {
			looks = append(looks, op.ID)
		} else {
			changes = append(changes, op.ID)
		}
		if op.Method == http.MethodGet && !op.Reads {
			t.Errorf("GET %s changes something", op.Path)
		}
	}
	for _, want := range []string{"health", "status", "migration-status", "plan", "logs", "ledger"} {
		if !slices.Contains(looks, want) {
			t.Errorf("%s does not only look: %v", want, looks)
		}
	}
	for _, want := range []string{"up", "down", "deploy", "rollback", "migration-check", "migration-sync", "migration-cutover", "migration-abort"} {
		if !slices.Contains(changes, want) {
			t.Errorf("%s only looks: %v", want, changes)
		}
	}
}

// healthy is an engine that answers nothing else.
type healthy struct{ api.Engine }

var since = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func (healthy) Health(context.Context) (api.Alive, error) {
	return api.Alive{Version: "1.2.3", Since: since, UnderWay: "sync", Migrations: []string{"datacenter"}}, nil
}

func TestHealth(t *testing.T) {
	t.Parallel()
	h, err := client.New(serve(t, healthy{})).Health(t.Context())
	if err != nil || h.Version != "1.2.3" || !h.Since.Equal(since) || h.UnderWay != "sync" || !slices.Equal(h.Migrations, []string{"datacenter"}) {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestHealthOfAnOlderEngine: it lives, and the next command reaches it.
func TestHealthOfAnOlderEngine(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	older := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`{"code":"missing","message":"this engine has no GET /healthz"}`))
	})}
	go older.Serve(ln)
	t.Cleanup(func() { older.Close() })
	if _, err := client.New(socket).Health(t.Context()); err != nil {
		t.Errorf("an engine that answers is taken for none: %v", err)
	}
}

// asked is an engine that says what it was asked for.
type asked struct {
	api.Engine
	finish, abort *string
}

func (a asked) Finish(_ context.Context, name string, _ api.LeaveRequest, _ api.Sink) (api.Migration, error) {
	*a.finish = name
	return api.Migration{}, nil
}

func (a asked) Abort(_ context.Context, name string, _ api.LeaveRequest, _ api.Sink) (api.Migration, error) {
	*a.abort = name
	return api.Migration{}, nil
}

// TestLeaving: the migration that is to end arrives by its name.
func TestLeaving(t *testing.T) {
	t.Parallel()
	var finish, abort string
	socket := serve(t, asked{finish: &finish, abort: &abort})
	for _, action := range []string{"finish", "abort"} {
		if res, body := ask(t, socket, post("/v1/migrations/datacenter/"+action, "")); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", action, res.Status, body)
		}
	}
	if finish != "datacenter" || abort != "datacenter" {
		t.Errorf("finish of %q, abort of %q", finish, abort)
	}
}
