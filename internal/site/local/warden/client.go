package warden

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"godwit/internal/site/local/network"
)

// Client talks to the warden of a state directory. It holds no connection
// between calls, so a new warden in the same place is found.
type Client struct {
	dir  string
	http *http.Client
}

// NewClient returns a client for the warden with state directory dir.
func NewClient(dir string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", ControlSocket(dir))
	}
	return &Client{dir: dir, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

const (
	// answersWithin bounds a question: what needs longer does not answer.
	answersWithin = 3 * time.Second
	// worksWithin bounds what is done before it is answered.
	worksWithin = 30 * time.Second
)

// failure is how an error travels.
type failure struct {
	Error      string `json:"error"`
	NoInstance bool   `json:"no_instance,omitempty"`
}

// Status returns what the warden runs with, and whether that is everything.
// ErrNotRunning when there is no warden.
func (c *Client) Status(ctx context.Context) (State, error) {
	var state State
	err := c.within(ctx, answersWithin, http.MethodGet, "/status", nil, &state)
	return state, err
}

// Complete tells the warden that it was given everything that its environment has.
func (c *Client) Complete(ctx context.Context) error {
	return c.within(ctx, answersWithin, http.MethodPut, "/complete", nil, nil)
}

// PutInstance makes the warden keep an instance running. It does not wait for
// it to start: see Instances. The same id again changes nothing, unless it was stopped.
func (c *Client) PutInstance(ctx context.Context, i Instance) error {
	return c.PutInstances(ctx, []Instance{i})
}

// PutInstances does that for several, until one is refused.
func (c *Client) PutInstances(ctx context.Context, all []Instance) error {
	return c.within(ctx, worksWithin, http.MethodPut, "/instances", all, nil)
}

// Instances of the warden, by id.
func (c *Client) Instances(ctx context.Context) ([]Status, error) {
	var all []Status
	err := c.within(ctx, answersWithin, http.MethodGet, "/instances", nil, &all)
	return all, err
}

// Stop ends an instance, gracefully first, and keeps its status and log.
func (c *Client) Stop(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, "/instances/"+url.PathEscape(id)+"/stop", nil, nil)
}

// Restart ends an instance, gracefully first; the warden starts it again, whatever
// becomes of the caller. It does not wait for that.
func (c *Client) Restart(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, "/instances/"+url.PathEscape(id)+"/restart", nil, nil)
}

// Remove ends an instance, gracefully first, and forgets it and its log. No
// error when there is none.
func (c *Client) Remove(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/instances/"+url.PathEscape(id), nil, nil)
}

// ApplyRules replaces the rules of the environment, atomically.
func (c *Client) ApplyRules(ctx context.Context, r network.Rules) error {
	return c.within(ctx, worksWithin, http.MethodPut, "/rules", r, nil)
}

// Probe sends real packets and returns an answer for each question, in order.
func (c *Client) Probe(ctx context.Context, probes []Probe) ([]Answer, error) {
	var answers []Answer
	err := c.do(ctx, http.MethodPost, "/probes", probes, &answers)
	if err == nil && len(answers) != len(probes) {
		err = fmt.Errorf("warden answered %d of %d probes", len(answers), len(probes))
	}
	return answers, err
}

// Links are the names of the network links of the router ("") and of each
// running instance, by id.
func (c *Client) Links(ctx context.Context) (map[string][]string, error) {
	var all map[string][]string
	err := c.within(ctx, worksWithin, http.MethodGet, "/links", nil, &all)
	return all, err
}

// Shutdown tells the warden to stop its instances gracefully and end. It
// returns at once; see Wait.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.within(ctx, answersWithin, http.MethodPost, "/shutdown", nil, nil)
}

// within does it, or says that the warden does not answer.
func (c *Client) within(ctx context.Context, limit time.Duration, method, path string, body, into any) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := c.do(limited, method, path, body, into)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return fmt.Errorf("warden in %s: %w (%s %s took longer than %v)", c.dir, ErrSilent, method, path, limit)
	}
	return err
}

func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://warden"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w in %s", ErrNotRunning, c.dir)
	}
	if err != nil {
		return fmt.Errorf("warden in %s: %w", c.dir, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("warden in %s, answer to %s: %w", c.dir, path, err)
	}
	return nil
}

func refusal(resp *http.Response) error {
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
		return fmt.Errorf("warden answered %s", resp.Status)
	}
	if f.NoInstance {
		return fmt.Errorf("%w: %s", ErrNoInstance, f.Error)
	}
	return errors.New(f.Error)
}
