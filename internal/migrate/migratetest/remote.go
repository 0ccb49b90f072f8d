package migratetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"godwit/internal/migrate"
)

// call is a call of a Gate from another process.
type call struct {
	Method string
	Lease  time.Duration
	Side   migrate.Side
}

// Serve makes the gate reachable for RemoteGate at the returned socket.
func (g *Gate) Serve(t testing.TB) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "gate")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(g.serve))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return socket
}

func (g *Gate) serve(w http.ResponseWriter, r *http.Request) {
	var c call
	err := json.NewDecoder(r.Body).Decode(&c)
	var held migrate.Held
	switch {
	case err != nil:
	case c.Method == "hold":
		err = g.Hold(r.Context(), c.Lease, c.Side)
	case c.Method == "drained":
		err = g.Drained(r.Context())
	case c.Method == "route":
		err = g.Route(r.Context(), c.Side)
	case c.Method == "release":
		held, err = g.Release(r.Context())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(held)
}

// RemoteGate is a Gate in another process: a migrate.Traffic.
type RemoteGate struct{ client http.Client }

// DialGate reaches the gate that is served at socket.
func DialGate(socket string) *RemoteGate {
	return &RemoteGate{http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}}
}

func (g *RemoteGate) call(ctx context.Context, c call) (held migrate.Held, err error) {
	body, err := json.Marshal(c)
	if err != nil {
		return held, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gate/", bytes.NewReader(body))
	if err != nil {
		return held, err
	}
	response, err := g.client.Do(request)
	if err != nil {
		return held, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return held, err
	}
	if response.StatusCode != http.StatusOK {
		return held, errors.New(string(text))
	}
	return held, json.Unmarshal(text, &held)
}

// Hold implements migrate.Traffic.
func (g *RemoteGate) Hold(ctx context.Context, lease time.Duration, to migrate.Side) error {
	_, err := g.call(ctx, call{Method: "hold", Lease: lease, Side: to})
	return err
}

// Settle implements migrate.Traffic: no request here takes long.
func (g *RemoteGate) Settle(context.Context) error { return nil }

// Drained implements migrate.Traffic.
func (g *RemoteGate) Drained(ctx context.Context) error {
	_, err := g.call(ctx, call{Method: "drained"})
	return err
}

// Route implements migrate.Traffic.
func (g *RemoteGate) Route(ctx context.Context, to migrate.Side) error {
	_, err := g.call(ctx, call{Method: "route", Side: to})
	return err
}

// Release implements migrate.Traffic.
func (g *RemoteGate) Release(ctx context.Context) (migrate.Held, error) {
	return g.call(ctx, call{Method: "release"})
}
