package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/examples/bistro/internal/service"
)

// receipt is one link of a register's chain.
type receipt struct {
	Register     int       `json:"register"`
	Number       int64     `json:"number"`
	TotalCents   int64     `json:"total_cents"`
	IssuedAt     time.Time `json:"issued_at"`
	Lines        []line    `json:"lines"`
	PreviousHash string    `json:"previous_hash"` // sha256 as hex; 64 zeros on a register's first
	Hash         string    `json:"hash"`

	// TipsCents suggests tips, by percent; from version 2 on.
	TipsCents map[string]int64 `json:"tips_cents,omitempty"`
}

const receiptColumns = `register, number, total_cents, issued_at, lines, previous_hash, hash`

func scanReceipt(row pgx.CollectableRow) (r receipt, err error) {
	var lines json.RawMessage
	var previous, hash []byte
	if err := row.Scan(&r.Register, &r.Number, &r.TotalCents, &r.IssuedAt, &lines, &previous, &hash); err != nil {
		return r, err
	}
	r.IssuedAt = r.IssuedAt.UTC()
	r.PreviousHash, r.Hash = hex.EncodeToString(previous), hex.EncodeToString(hash)
	return r, json.Unmarshal(lines, &r.Lines)
}

// answer is the receipt as a version of the till shows it.
func (r receipt) answer(version string) receipt {
	if tips(version) {
		r.TipsCents = map[string]int64{}
		for _, percent := range []int64{5, 10, 15} {
			r.TipsCents[strconv.FormatInt(percent, 10)] = (r.TotalCents*percent + 50) / 100
		}
	}
	return r
}

// getReceipts answers with the latest receipts of a register, latest first.
func (t *till) getReceipts(version string) service.Handler {
	return func(r *http.Request) (int, any, error) {
		register, err := service.PathNumber(r, "register")
		if err != nil {
			return 0, nil, err
		}
		limit, err := service.Limit(r, 10, 100)
		if err != nil {
			return 0, nil, err
		}
		latest, err := t.receipts(r.Context(), register, limit)
		if err != nil {
			return 0, nil, err
		}
		for i := range latest {
			latest[i] = latest[i].answer(version)
		}
		return http.StatusOK, map[string]any{"register": register, "receipts": latest}, nil
	}
}

func (t *till) receipts(ctx context.Context, register, limit int64) (latest []receipt, err error) {
	err = t.db.Do(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT `+receiptColumns+` FROM receipts
			WHERE register = $1 ORDER BY number DESC LIMIT $2`, register, limit)
		if err != nil {
			return err
		}
		latest, err = pgx.CollectRows(rows, scanReceipt)
		return err
	})
	return latest, err
}
