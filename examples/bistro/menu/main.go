// Program menu knows what there is to eat and what it costs. It is read far more
// often than it changes.
//
// Settings: DATABASE_URL, and PORT or LISTEN.
package main

import (
	"context"
	"log/slog"
	"net/http"

	"godwit/examples/bistro/internal/database"
	"godwit/examples/bistro/internal/service"
)

// version is set by the linker: -X main.version=2.
var version = "1"

const sessions = 4

// menu is what the handlers share.
type menu struct {
	log *slog.Logger
	db  *database.Database
}

func main() { service.Main("menu", version, run) }

func run(ctx context.Context, log *slog.Logger) error {
	url, err := service.Required("DATABASE_URL")
	if err != nil {
		return err
	}
	db, err := database.Open(url, sessions)
	if err != nil {
		return err
	}
	defer db.Close()
	m := &menu{log: log, db: db}
	return service.Serve(ctx, log, service.Address(), m.handler())
}

func (m *menu) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]service.Handler{
		"GET /menu":              m.getMenu,
		"GET /items/{sku}":       m.getItem,
		"PUT /items/{sku}/price": m.putPrice,
		"GET /version":           getVersion,
	} {
		mux.Handle(pattern, service.JSON(m.log, h))
	}
	return mux
}

func getVersion(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]string{"service": "menu", "version": version}, nil
}
