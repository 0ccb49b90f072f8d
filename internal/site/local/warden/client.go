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

// failure is how an error travels.
type failure struct {
	Error      string `json:"error"`
	NoInstance bool   `json:"no_instance,omitempty"`
}

// Status returns the configuration that the warden runs with. ErrNotRunning
// when there is no warden.
func (c *Client) Status(ctx context.Context) (Config, error) {
	var config Config
	err := c.do(ctx, http.MethodGet, "/status", nil, &config)
	return config, err
}

// PutInstance makes the warden keep an instance running. It does not wait for
// it to start: see Instances. The same id again changes nothing, unless it was stopped.
func (c *Client) PutInstance(ctx context.Context, i Instance) error {
	return c.do(ctx, http.MethodPut, "/instances", i, nil)
}

// Instances of the warden, by id.
func (c *Client) Instances(ctx context.Context) ([]Status, error) {
	var all []Status
	err := c.do(ctx, http.MethodGet, "/instances", nil, &all)
	return all, err
}

// Stop ends an instance, gracefully first, and keeps its status and log.
func (c *Client) Stop(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, "/instances/"+url.PathEscape(id)+"/stop", nil, nil)
}

// Remove ends an instance, gracefully first, and forgets it and its log. No
// error when there is none.
func (c *Client) Remove(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/instances/"+url.PathEscape(id), nil, nil)
}

// ApplyRules replaces the rules of the environment, atomically.
func (c *Client) ApplyRules(ctx context.Context, r network.Rules) error {
	return c.do(ctx, http.MethodPut, "/rules", r, nil)
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
	err := c.do(ctx, http.MethodGet, "/links", nil, &all)
	return all, err
}

// Shutdown tells the warden to stop its instances gracefully and end. It
// returns at once; see Wait.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/shutdown", nil, nil)
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
