//go:build linux

package warden

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

const (
	// eager is how often an instance is asked that has not yet been ready.
	eager = 20 * time.Millisecond
	// tolerated failures in a row before a ready instance counts as unready.
	tolerated = 3
)

// check asks for the instance's health until ctx ends.
func (k *keeper) check(ctx context.Context) {
	h := k.Health
	if h.Interval <= 0 {
		h.Interval = time.Second
	}
	if h.Timeout <= 0 {
		h.Timeout = time.Second
	}
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // only its own answer counts
		},
	}
	failures, wait := 0, eager
	for {
		err := ask(ctx, client, netip.AddrPortFrom(k.Spec.Address, h.Port), h)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures, wait = 0, h.Interval
			k.set(func(s *Status) { s.Ready, s.Reason = true, "" })
		} else if failures++; failures >= tolerated || !k.Status().Ready {
			k.set(func(s *Status) { s.Ready, s.Reason = false, "health check: "+err.Error() })
			wait = min(eager*time.Duration(failures), h.Interval)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func ask(ctx context.Context, client *http.Client, at netip.AddrPort, h Health) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if h.Path == "" {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.String()+h.Path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		// In our words: its own could be meant for somebody's terminal.
		return fmt.Errorf("%s answered %d %s", h.Path, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return nil
}
