package main

import (
	"context"
	"net/http"

	"github.com/jackc/pgx/v5"

	"godwit/examples/bistro/internal/service"
)

// getTable answers with what is open on a table, oldest first.
func (t *till) getTable(r *http.Request) (int, any, error) {
	table, err := service.PathNumber(r, "table")
	if err != nil {
		return 0, nil, err
	}
	open, err := t.openOrders(r.Context(), table)
	if err != nil {
		return 0, nil, err
	}
	var total int64
	for _, o := range open {
		total += o.TotalCents
	}
	return http.StatusOK, map[string]any{"table": table, "total_cents": total, "orders": open}, nil
}

func (t *till) openOrders(ctx context.Context, table int64) (open []order, err error) {
	err = t.db.Do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT id, register, table_no, total_cents, placed_at, order_lines(id)
			FROM orders WHERE table_no = $1 AND payment_id IS NULL ORDER BY id`, table)
		if err != nil {
			return err
		}
		open, err = pgx.CollectRows(rows, scanOrder)
		return err
	})
	return open, err
}
