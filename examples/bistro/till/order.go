package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/examples/bistro/internal/service"
)

// order is a placed order, as answered.
type order struct {
	ID         int64     `json:"id"`
	Register   int       `json:"register"`
	Table      int       `json:"table"`
	TotalCents int64     `json:"total_cents"`
	PlacedAt   time.Time `json:"placed_at"`
	Items      []line    `json:"items"`
}

// line is an item, how many, and its price when it was ordered.
type line struct {
	SKU        string `json:"sku"`
	Qty        int    `json:"qty"`
	PriceCents int64  `json:"price_cents"`
}

// wanted is an item as a till orders it: prices come from the menu only.
type wanted struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}

const (
	maxItems  = 50
	maxNumber = 999 // of tables and registers
)

func (t *till) postOrder(r *http.Request) (int, any, error) {
	var body struct {
		Register int      `json:"register"`
		Table    int      `json:"table"`
		Items    []wanted `json:"items"`
	}
	key, err := service.Key(r)
	if err != nil {
		return 0, nil, err
	}
	if err := service.Decode(r, &body); err != nil {
		return 0, nil, err
	}
	if err := errors.Join(inRange("register", body.Register), inRange("table", body.Table)); err != nil {
		return 0, nil, err
	}
	if len(body.Items) == 0 {
		return 0, nil, service.Refuse(http.StatusUnprocessableEntity, "an order needs items")
	}
	lines, err := t.menu.price(r.Context(), body.Items)
	if err != nil {
		return 0, nil, err
	}
	placed, err := t.placeOrder(r.Context(), key, body.Register, body.Table, lines)
	return http.StatusCreated, placed, refused(err)
}

func (t *till) placeOrder(ctx context.Context, key string, register, table int, lines []line) (o order, err error) {
	err = t.db.Do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT id, register, table_no, total_cents, placed_at, lines
			FROM place_order($1, $2, $3, $4)`, key, register, table, lines)
		if err != nil {
			return err
		}
		o, err = pgx.CollectExactlyOneRow(rows, scanOrder)
		return err
	})
	return o, err
}

func scanOrder(row pgx.CollectableRow) (o order, err error) {
	var items json.RawMessage
	if err := row.Scan(&o.ID, &o.Register, &o.Table, &o.TotalCents, &o.PlacedAt, &items); err != nil {
		return o, err
	}
	o.PlacedAt = o.PlacedAt.UTC()
	return o, json.Unmarshal(items, &o.Items)
}

func inRange(what string, n int) error {
	if n < 1 || n > maxNumber {
		return service.Refuse(http.StatusUnprocessableEntity, "%s must be a number from 1 to %d", what, maxNumber)
	}
	return nil
}

// refused turns what the schema refuses into the client's error.
func refused(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (pg.Code == "23503" || pg.Code == "23514") {
		return service.Refuse(http.StatusUnprocessableEntity, "no such register, or a number out of range")
	}
	return err
}
