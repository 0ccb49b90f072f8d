// Package client speaks the engine's API over its unix socket. The CLI and the
// demo use it; it imports only the wire types.
package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"godwit/internal/api"
	"godwit/internal/plan"
)

// ErrNoEngine means that no engine answers at the socket.
var ErrNoEngine = errors.New("no engine is running")

// ErrCutOff means that the engine went away before it said how an operation ended.
var ErrCutOff = errors.New("the engine went away in the middle of it; run the command again: a restarted engine finishes or undoes what was under way")

// maxLine bounds one line of a stream.
const maxLine = 16 << 20

// Client of one engine. It may be used from several goroutines.
type Client struct {
	socket string
	http   *http.Client
}

// New returns a client of the engine that listens on the unix socket.
func New(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Watch is called with what a long operation says while it runs. Nil fields are skipped.
type Watch struct {
	Event func(api.Event)
	Row   func(json.RawMessage)
}

// Health asks whether the engine lives, and nothing that takes long. One from
// before there was such a question lives as well.
func (c *Client) Health(ctx context.Context) (api.Alive, error) {
	h, err := get[api.Alive](ctx, c, "/healthz")
	var failure *api.Failure
	if errors.As(err, &failure) && failure.Code == api.Missing {
		return h, nil
	}
	return h, err
}

// Status reports everything the engine sees.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	return get[api.Status](ctx, c, "/v1/status")
}

// Plan computes what Up would change.
func (c *Client) Plan(ctx context.Context, l api.Landscape, w Watch) (plan.Plan, error) {
	return follow[plan.Plan](ctx, c, "/v1/plan", l, w)
}

// Up brings a landscape up.
func (c *Client) Up(ctx context.Context, r api.UpRequest, w Watch) (api.UpResult, error) {
	return follow[api.UpResult](ctx, c, "/v1/up", r, w)
}

// Deploy rolls out a new release.
func (c *Client) Deploy(ctx context.Context, r api.DeployRequest, w Watch) ([]api.Rollout, error) {
	return follow[[]api.Rollout](ctx, c, "/v1/deploy", r, w)
}

// Rollback returns a service to an earlier release.
func (c *Client) Rollback(ctx context.Context, r api.RollbackRequest, w Watch) ([]api.Rollout, error) {
	return follow[[]api.Rollout](ctx, c, "/v1/rollback", r, w)
}

// Abandon gives up rollouts that are stuck.
func (c *Client) Abandon(ctx context.Context, r api.AbandonRequest, w Watch) ([]api.Rollout, error) {
	return follow[[]api.Rollout](ctx, c, "/v1/abandon", r, w)
}

// Logs sends one api.LogLine a row.
func (c *Client) Logs(ctx context.Context, r api.LogsRequest, w Watch) error {
	_, err := follow[struct{}](ctx, c, "/v1/logs", r, w)
	return err
}

// Isolation runs the packet test.
func (c *Client) Isolation(ctx context.Context, w Watch) (api.Isolation, error) {
	return follow[api.Isolation](ctx, c, "/v1/isolation", nil, w)
}

// Ledger sends one api.Found a row.
func (c *Client) Ledger(ctx context.Context, r api.LedgerRequest, w Watch) (api.LedgerResult, error) {
	return follow[api.LedgerResult](ctx, c, "/v1/ledger", r, w)
}

// Down ends everything the engine runs, and the engine.
func (c *Client) Down(ctx context.Context, r api.DownRequest, w Watch) error {
	_, err := follow[struct{}](ctx, c, "/v1/down", r, w)
	return err
}

// MigrationStatus reports a migration.
func (c *Client) MigrationStatus(ctx context.Context, name string) (api.Migration, error) {
	return get[api.Migration](ctx, c, migration(name, ""))
}

// Check asks what stands against a migration.
func (c *Client) Check(ctx context.Context, name string, w Watch) (api.Checks, error) {
	return follow[api.Checks](ctx, c, migration(name, "/check"), nil, w)
}

// Sync copies schema and data and keeps them in step.
func (c *Client) Sync(ctx context.Context, name string, w Watch) (api.Migration, error) {
	return follow[api.Migration](ctx, c, migration(name, "/sync"), nil, w)
}

// Cutover makes the environment the truth.
func (c *Client) Cutover(ctx context.Context, name string, w Watch) (api.SwitchReport, error) {
	return follow[api.SwitchReport](ctx, c, migration(name, "/cutover"), nil, w)
}

// RollbackMigration makes the source the truth again.
func (c *Client) RollbackMigration(ctx context.Context, name string, w Watch) (api.SwitchReport, error) {
	return follow[api.SwitchReport](ctx, c, migration(name, "/rollback"), nil, w)
}

// Verify compares every table of both sides.
func (c *Client) Verify(ctx context.Context, name string, w Watch) (api.Verification, error) {
	return follow[api.Verification](ctx, c, migration(name, "/verify"), nil, w)
}

// Apply changes definitions on both sides.
func (c *Client) Apply(ctx context.Context, name string, r api.ApplyRequest, w Watch) (api.Applied, error) {
	return follow[api.Applied](ctx, c, migration(name, "/apply"), r, w)
}

// Finish removes the way back.
func (c *Client) Finish(ctx context.Context, name string, r api.LeaveRequest, w Watch) (api.Migration, error) {
	return follow[api.Migration](ctx, c, leave(name, "/finish", r), nil, w)
}

// Abort removes everything of a migration from both sides.
func (c *Client) Abort(ctx context.Context, name string, r api.LeaveRequest, w Watch) (api.Migration, error) {
	return follow[api.Migration](ctx, c, leave(name, "/abort", r), nil, w)
}

// AbandonRun gives up a switch of a migration that is stuck.
func (c *Client) AbandonRun(ctx context.Context, name string, w Watch) (api.AbandonedRun, error) {
	return follow[api.AbandonedRun](ctx, c, migration(name, "/abandon"), nil, w)
}

// ByHand says how to open the source without an engine.
func (c *Client) ByHand(ctx context.Context, name string) (api.ByHand, error) {
	return get[api.ByHand](ctx, c, migration(name, "/by-hand"))
}

func leave(name, action string, r api.LeaveRequest) string {
	path := migration(name, action)
	if r.WithoutSource {
		path += "?without_source=true"
	}
	return path
}

func migration(name, action string) string {
	return "/v1/migrations/" + url.PathEscape(name) + action
}

func get[R any](ctx context.Context, c *Client, path string) (R, error) {
	var result R
	res, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return result, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&result); err != nil {
		return result, fmt.Errorf("engine at %s: %w", c.socket, err)
	}
	return result, nil
}

// follow reads a stream to its end.
func follow[R any](ctx context.Context, c *Client, path string, in any, w Watch) (R, error) {
	var result R
	res, err := c.do(ctx, http.MethodPost, path, in)
	if err != nil {
		return result, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var line api.Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return result, fmt.Errorf("engine at %s: %w", c.socket, err)
		}
		switch {
		case line.Event != nil && w.Event != nil:
			w.Event(*line.Event)
		case line.Row != nil && w.Row != nil:
			w.Row(line.Row)
		case line.Failure != nil:
			return result, line.Failure
		case line.Result != nil:
			return result, json.Unmarshal(line.Result, &result)
		}
	}
	if err := ctx.Err(); err != nil {
		return result, err
	}
	return result, fmt.Errorf("%w (%v)", ErrCutOff, cmp.Or(lines.Err(), io.ErrUnexpectedEOF))
}

// do sends a request; an answer other than 2xx is an *api.Failure.
func (c *Client) do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var payload io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, payload)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	switch {
	case err != nil:
		return nil, c.unreached(ctx, err)
	case res.StatusCode/100 != 2:
		defer res.Body.Close()
		return nil, failure(res)
	}
	return res, nil
}

// unreached says why no answer came.
func (c *Client) unreached(ctx context.Context, err error) error {
	var op *net.OpError
	switch dialled := errors.As(err, &op) && op.Op == "dial"; {
	case ctx.Err() != nil:
		return ctx.Err()
	case dialled && (errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ECONNREFUSED)):
		return fmt.Errorf("%w at %s: godwit up starts one", ErrNoEngine, c.socket)
	case dialled && errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the engine at %s belongs to another user: run this as that user, or choose another state directory with --state", c.socket)
	case dialled:
		return fmt.Errorf("engine at %s: %w", c.socket, op.Err)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF):
		return fmt.Errorf("%w (%v)", ErrCutOff, err)
	}
	return fmt.Errorf("engine at %s: %w", c.socket, err)
}

func failure(res *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(res.Body, maxLine))
	var f api.Failure
	if json.Unmarshal(b, &f) == nil && f.Message != "" {
		return &f
	}
	return api.Fail(api.Failed, "the engine answered %s: %s", res.Status, bytes.TrimSpace(b))
}
