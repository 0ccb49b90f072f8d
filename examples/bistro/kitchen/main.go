// Program kitchen takes orders out of the till's outbox, turns each into one
// ticket, and shows the tickets. Several instances share the work.
//
// Settings: DATABASE_URL (the till's database), and PORT or LISTEN.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"godwit/examples/bistro/internal/database"
	"godwit/examples/bistro/internal/service"
)

// version is set by the linker: -X main.version=2.
var version = "1"

const sessions = 4

// kitchen is what the handlers and the consumer share.
type kitchen struct {
	log *slog.Logger
	db  *database.Database
}

func main() { service.Main("kitchen", version, run) }

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
	k := &kitchen{log: log, db: db}

	consuming, stop := context.WithCancel(ctx)
	var consumer sync.WaitGroup
	consumer.Go(func() { k.consume(consuming) })
	defer consumer.Wait()
	defer stop()
	return service.Serve(ctx, log, service.Address(), k.handler())
}

func (k *kitchen) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]service.Handler{
		"GET /tickets":            k.getTickets,
		"POST /tickets/{id}/done": k.postDone,
		"GET /version":            getVersion,
	} {
		mux.Handle(pattern, service.JSON(k.log, h))
	}
	return mux
}

func getVersion(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]string{"service": "kitchen", "version": version}, nil
}
