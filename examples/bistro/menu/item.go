package main

import (
	"context"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/examples/bistro/internal/service"
)

// item of the menu.
type item struct {
	SKU        string    `json:"sku"`
	Name       string    `json:"name"`
	Course     string    `json:"course"`
	PriceCents int64     `json:"price_cents"`
	UpdatedAt  time.Time `json:"updated_at"`
}

const itemColumns = `sku, name, course, price_cents, updated_at`

func (m *menu) getMenu(r *http.Request) (int, any, error) {
	items, err := m.items(r.Context(), `SELECT `+itemColumns+` FROM items ORDER BY course, sku`)
	return http.StatusOK, map[string][]item{"items": items}, err
}

func (m *menu) getItem(r *http.Request) (int, any, error) {
	items, err := m.items(r.Context(), `SELECT `+itemColumns+` FROM items WHERE sku = $1`, r.PathValue("sku"))
	return one(items, err)
}

// putPrice sets a price; the same price again changes nothing.
func (m *menu) putPrice(r *http.Request) (int, any, error) {
	var body struct {
		PriceCents int64 `json:"price_cents"`
	}
	if err := service.Decode(r, &body); err != nil {
		return 0, nil, err
	}
	if body.PriceCents < 1 || body.PriceCents > 1_000_000 {
		return 0, nil, service.Refuse(http.StatusUnprocessableEntity, "price_cents must be from 1 to 1000000")
	}
	items, err := m.items(r.Context(), `SELECT `+itemColumns+` FROM set_price($1, $2)`, r.PathValue("sku"), body.PriceCents)
	return one(items, err)
}

func one(items []item, err error) (int, any, error) {
	if err == nil && len(items) == 0 {
		err = errNoItem
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, items[0], nil
}

var errNoItem = service.Refuse(http.StatusNotFound, "no such item on the menu")

func (m *menu) items(ctx context.Context, sql string, args ...any) (items []item, err error) {
	err = m.db.Do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		items, err = pgx.CollectRows(rows, scanItem)
		return err
	})
	return items, err
}

func scanItem(row pgx.CollectableRow) (i item, err error) {
	err = row.Scan(&i.SKU, &i.Name, &i.Course, &i.PriceCents, &i.UpdatedAt)
	i.UpdatedAt = i.UpdatedAt.UTC()
	return i, err
}
