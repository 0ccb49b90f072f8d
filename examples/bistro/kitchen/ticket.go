package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/examples/bistro/internal/service"
)

// ticket is what the cooks see of an order.
type ticket struct {
	ID        int64           `json:"id"`
	Order     int64           `json:"order"`
	Table     int             `json:"table"`
	Lines     json.RawMessage `json:"lines"`
	CreatedAt time.Time       `json:"created_at"`
	DoneAt    *time.Time      `json:"done_at"`
}

const ticketColumns = `id, order_id, table_no, lines, created_at, done_at`

// getTickets answers with the tickets still to cook, oldest first.
func (k *kitchen) getTickets(r *http.Request) (int, any, error) {
	limit, err := service.Limit(r, 50, 500)
	if err != nil {
		return 0, nil, err
	}
	open, err := k.tickets(r.Context(), `SELECT `+ticketColumns+` FROM tickets
		WHERE done_at IS NULL ORDER BY id LIMIT $1`, limit)
	return http.StatusOK, map[string][]ticket{"tickets": open}, err
}

// postDone takes a ticket off the board; doing it again changes nothing.
func (k *kitchen) postDone(r *http.Request) (int, any, error) {
	id, err := service.PathNumber(r, "id")
	if err != nil {
		return 0, nil, err
	}
	done, err := k.tickets(r.Context(), `UPDATE tickets SET done_at = coalesce(done_at, now())
		WHERE id = $1 RETURNING `+ticketColumns, id)
	if err != nil {
		return 0, nil, err
	}
	if len(done) == 0 {
		return 0, nil, service.Refuse(http.StatusNotFound, "no ticket %d", id)
	}
	return http.StatusOK, done[0], nil
}

func (k *kitchen) tickets(ctx context.Context, sql string, args ...any) (tickets []ticket, err error) {
	err = k.db.Do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		tickets, err = pgx.CollectRows(rows, scanTicket)
		return err
	})
	return tickets, err
}

func scanTicket(row pgx.CollectableRow) (t ticket, err error) {
	err = row.Scan(&t.ID, &t.Order, &t.Table, &t.Lines, &t.CreatedAt, &t.DoneAt)
	t.CreatedAt = t.CreatedAt.UTC()
	if t.DoneAt != nil {
		done := t.DoneAt.UTC()
		t.DoneAt = &done
	}
	return t, err
}
