// Program till takes orders and payments and issues receipts, for all registers
// of the restaurant.
//
// Every write carries the till's own key (header Idempotency-Key): the same key
// again gets the same answer and has no second effect, concurrently too. A
// receipt number is used once per register, without gaps; the schema sees to it.
//
// Settings: DATABASE_URL, MENU_URL, and PORT or LISTEN.
package main

import (
	"context"
	"log/slog"
	"net/http"

	"godwit/examples/bistro/internal/database"
	"godwit/examples/bistro/internal/service"
)

// sessions of one instance. A write takes about a millisecond, so few do; many
// would only wait for each other inside the server.
const sessions = 6

// till is what the handlers share.
type till struct {
	log  *slog.Logger
	db   *database.Database
	menu *menu
}

func main() { service.Main("till", version, run) }

func run(ctx context.Context, log *slog.Logger) error {
	databaseURL, err := service.Required("DATABASE_URL")
	if err != nil {
		return err
	}
	menuURL, err := service.Required("MENU_URL")
	if err != nil {
		return err
	}
	db, err := database.Open(databaseURL, sessions)
	if err != nil {
		return err
	}
	defer db.Close()
	t := &till{log: log, db: db, menu: newMenu(log, menuURL)}
	return service.Serve(ctx, log, service.Address(), t.handler(version))
}

// handler is all that a version of the till answers.
func (t *till) handler(version string) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]service.Handler{
		"POST /orders":             t.postOrder,
		"POST /payments":           t.postPayment(version),
		"GET /menu":                t.getMenu,
		"GET /tables/{table}":      t.getTable,
		"GET /receipts/{register}": t.getReceipts(version),
		"GET /version":             getVersion(version),
	} {
		mux.Handle(pattern, service.JSON(t.log, h))
	}
	if version == brokenVersion {
		return broken(mux)
	}
	return mux
}
