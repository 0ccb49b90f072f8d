package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/singleflight"

	"godwit/examples/bistro/internal/database"
	"godwit/examples/bistro/internal/service"
)

const (
	menuFresh    = 2 * time.Second        // how old a price may be
	menuPatience = 500 * time.Millisecond // how long to try for a fresh menu when there is an old one
	menuRetry    = time.Second            // how long to go on with the old one after that
	menuMaxBytes = 1 << 20
)

// menu is the menu service as the till sees it: fetched when it is needed, by
// one request for all that wait, and kept for a moment. When the menu service is
// away the till goes on with the menu that it has.
type menu struct {
	log     *slog.Logger
	url     string
	client  *http.Client
	fetches singleflight.Group
	current atomic.Pointer[snapshot]
}

// snapshot is the menu at one instant.
type snapshot struct {
	until  time.Time
	body   json.RawMessage
	prices map[string]int64
}

func newMenu(log *slog.Logger, url string) *menu {
	return &menu{log: log, url: strings.TrimSuffix(url, "/") + "/menu", client: &http.Client{Timeout: database.Patience}}
}

func (t *till) getMenu(r *http.Request) (int, any, error) {
	s, err := t.menu.get(r.Context())
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.body, nil
}

// price puts the menu's prices to what is wanted; a Refusal when the menu has no such item.
func (m *menu) price(ctx context.Context, items []wanted) ([]line, error) {
	if len(items) > maxItems {
		return nil, service.Refuse(http.StatusUnprocessableEntity, "at most %d items", maxItems)
	}
	s, err := m.get(ctx)
	if err != nil {
		return nil, err
	}
	lines := make([]line, len(items))
	for i, item := range items {
		price, ok := s.prices[item.SKU]
		if !ok {
			return nil, service.Refuse(http.StatusUnprocessableEntity, "no item %q on the menu", item.SKU)
		}
		if item.Qty < 1 || item.Qty > 99 {
			return nil, service.Refuse(http.StatusUnprocessableEntity, "qty of %q must be from 1 to 99", item.SKU)
		}
		lines[i] = line{SKU: item.SKU, Qty: item.Qty, PriceCents: price}
	}
	return lines, nil
}

func (m *menu) get(ctx context.Context) (*snapshot, error) {
	if s := m.current.Load(); s != nil && time.Now().Before(s.until) {
		return s, nil
	}
	answer := m.fetches.DoChan("menu", func() (any, error) { return m.refresh() })
	select {
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return a.Val.(*snapshot), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refresh fetches the menu for all that wait, so no request's context ends it;
// its own patience does.
func (m *menu) refresh() (*snapshot, error) {
	old, patience := m.current.Load(), database.Patience
	if old != nil {
		patience = menuPatience
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval = 10*time.Millisecond, 250*time.Millisecond
	s, err := backoff.Retry(ctx, func() (*snapshot, error) { return m.fetch(ctx) }, backoff.WithBackOff(pace))
	if err == nil {
		m.current.Store(s)
		return s, nil
	}
	if old == nil {
		return nil, err
	}
	m.log.Warn("menu is away; going on with the one we have", "error", err)
	kept := &snapshot{until: time.Now().Add(menuRetry), body: old.body, prices: old.prices}
	m.current.Store(kept)
	return kept, nil
}

func (m *menu) fetch(ctx context.Context) (*snapshot, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	response, err := m.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, menuMaxBytes))
	if err != nil {
		return nil, fmt.Errorf("menu: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("menu: status %d", response.StatusCode)
	}
	return parseMenu(body)
}

func parseMenu(body []byte) (*snapshot, error) {
	var parsed struct {
		Items []struct {
			SKU        string `json:"sku"`
			PriceCents int64  `json:"price_cents"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &parsed); err != nil {
		return nil, fmt.Errorf("menu: %w", err)
	}
	s := &snapshot{until: time.Now().Add(menuFresh), body: body, prices: make(map[string]int64, len(parsed.Items))}
	for _, item := range parsed.Items {
		s.prices[item.SKU] = item.PriceCents
	}
	return s, nil
}
