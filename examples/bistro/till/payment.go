package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/jackc/pgx/v5"

	"godwit/examples/bistro/internal/service"
)

// maxAmount of a sale at the counter, in cents.
const maxAmount = 1_000_000

// payment is what a till wants paid: all that is open on a table, a sale at the
// counter (items of the menu, or an amount), or both on one receipt.
type payment struct {
	Register    int      `json:"register"`
	Table       *int     `json:"table"`
	Items       []wanted `json:"items"`
	AmountCents int64    `json:"amount_cents"`
}

func (p payment) check() error {
	if err := inRange("register", p.Register); err != nil {
		return err
	}
	if p.Table != nil {
		if err := inRange("table", *p.Table); err != nil {
			return err
		}
	}
	if p.AmountCents < 0 || p.AmountCents > maxAmount {
		return service.Refuse(http.StatusUnprocessableEntity, "amount_cents must be from 1 to %d", maxAmount)
	}
	if p.Table == nil && len(p.Items) == 0 && p.AmountCents == 0 {
		return service.Refuse(http.StatusUnprocessableEntity, "a payment needs a table, items or amount_cents")
	}
	return nil
}

func (t *till) postPayment(version string) service.Handler {
	return func(r *http.Request) (int, any, error) {
		key, err := service.Key(r)
		if err != nil {
			return 0, nil, err
		}
		var body payment
		if err := service.Decode(r, &body); err != nil {
			return 0, nil, err
		}
		if err := body.check(); err != nil {
			return 0, nil, err
		}
		lines, err := t.counterSale(r.Context(), body)
		if err != nil {
			return 0, nil, err
		}
		issued, err := t.pay(r.Context(), key, body.Register, body.Table, lines)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, nil, service.Refuse(http.StatusConflict, "nothing is open on this table")
		}
		return http.StatusCreated, issued.answer(version), refused(err)
	}
}

// counterSale is what is sold beside the table's orders.
func (t *till) counterSale(ctx context.Context, p payment) ([]line, error) {
	lines := []line{} // not nil: an empty JSON array
	if len(p.Items) > 0 {
		priced, err := t.menu.price(ctx, p.Items)
		if err != nil {
			return nil, err
		}
		lines = priced
	}
	if p.AmountCents > 0 {
		lines = append(lines, line{SKU: "counter", Qty: 1, PriceCents: p.AmountCents})
	}
	return lines, nil
}

// pay returns the receipt of this key, new or from before; pgx.ErrNoRows when
// there was nothing to pay.
func (t *till) pay(ctx context.Context, key string, register int, table *int, lines []line) (issued receipt, err error) {
	err = t.db.Do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT `+receiptColumns+` FROM pay($1, $2, $3, $4)`, key, register, table, lines)
		if err != nil {
			return err
		}
		issued, err = pgx.CollectExactlyOneRow(rows, scanReceipt)
		return err
	})
	return issued, err
}
