package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/examples/bistro/internal/database"
)

const (
	pollEvery = 200 * time.Millisecond
	batch     = 100
)

// consume turns orders into tickets until ctx ends. While the database is away
// it knocks at the database's own calm pace, and says so once.
func (k *kitchen) consume(ctx context.Context) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	away := false
	for {
		taken, err := k.takeBatch(ctx)
		if ctx.Err() != nil {
			return
		}
		if (err != nil) != away {
			away = err != nil
			k.logTurn(err)
		}
		if taken == batch {
			continue // more may be waiting
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

func (k *kitchen) logTurn(err error) {
	switch {
	case err == nil:
		k.log.Info("taking orders again")
	case errors.Is(err, database.ErrAway):
		k.log.Warn("database is away; orders wait", "error", err)
	default:
		k.log.Error("taking orders", "error", err)
	}
}

// takeBatch takes at most batch orders and writes their tickets, in one
// statement: an order is in the outbox or has its ticket, never both, never
// neither. Orders that another instance is taking are skipped, not waited for.
func (k *kitchen) takeBatch(ctx context.Context) (taken int64, err error) {
	err = k.db.Do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, `
			WITH waiting AS (
				SELECT id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
			), taken AS (
				DELETE FROM outbox USING waiting WHERE outbox.id = waiting.id
				RETURNING order_id, table_no, lines
			)
			INSERT INTO tickets (order_id, table_no, lines)
			SELECT order_id, table_no, lines FROM taken ORDER BY order_id
			ON CONFLICT (order_id) DO NOTHING`, batch)
		taken = tag.RowsAffected()
		return err
	})
	return taken, err
}
