package engine

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site"
)

// Ledger asks the database that holds the truth which writes it has, one row a
// key, and what a probe's invariants count.
func (e *Engine) Ledger(ctx context.Context, r api.LedgerRequest, sink api.Sink) (api.LedgerResult, error) {
	result := api.LedgerResult{Invariants: map[string]int64{}}
	w, err := e.current()
	if err != nil {
		return result, err
	}
	probe, ok := w.landscape.Probe(r.Probe)
	if !ok {
		return result, api.Fail(api.Missing, "the landscape declares no probe %q", r.Probe)
	}
	q := questions{engine: e, world: w, open: map[string]*pgx.Conn{}}
	defer q.close()
	for _, l := range probe.Ledger {
		if err := q.ledger(ctx, l, sink); err != nil {
			return result, fmt.Errorf("ledger %s: %w", l.Name, err)
		}
	}
	for _, i := range probe.Invariants {
		if result.Invariants[i.Name], err = q.invariant(ctx, i); err != nil {
			return result, fmt.Errorf("invariant %s: %w", i.Name, err)
		}
	}
	result.Side = string(q.side)
	return result, nil
}

// questions keeps one connection per database.
type questions struct {
	engine *Engine
	world  *world
	open   map[string]*pgx.Conn
	side   migrate.Side
}

func (q *questions) close() {
	for _, c := range q.open {
		c.Close(context.Background())
	}
}

func (q *questions) ledger(ctx context.Context, l landscape.ProbeLedger, sink api.Sink) error {
	conn, err := q.connect(ctx, l.Database)
	if err != nil {
		return err
	}
	rows, err := conn.Query(ctx, l.Query)
	if err != nil {
		return err
	}
	found := api.Found{Ledger: l.Name}
	_, err = pgx.ForEachRow(rows, []any{&found.Key, &found.Count}, func() error {
		sink.Row(found)
		return nil
	})
	return err
}

func (q *questions) invariant(ctx context.Context, i landscape.ProbeInvariant) (n int64, err error) {
	conn, err := q.connect(ctx, i.Database)
	if err != nil {
		return 0, err
	}
	return n, conn.QueryRow(ctx, i.Query).Scan(&n)
}

// connect opens a read-only session where the truth of a database is.
func (q *questions) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	if c, ok := q.open[database]; ok {
		return c, nil
	}
	config, side, err := q.engine.truth(ctx, q.world, database)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["default_transaction_read_only"] = "on"
	config.RuntimeParams["application_name"] = postgres.ReaderName
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	q.open[database], q.side = conn, side
	return conn, nil
}

// truth is how to reach the database that counts: the source's until a cutover,
// the environment's after it. Without a migration it is that of the environment
// which serves the declared hosts.
func (e *Engine) truth(ctx context.Context, w *world, database string) (*pgx.ConnConfig, migrate.Side, error) {
	for _, m := range w.landscape.Migrations {
		src, _ := w.landscape.Source(m.Source)
		for _, d := range src.Databases {
			if d.Name != database {
				continue
			}
			found, err := e.migration(ctx, w, m.Name)
			if err != nil {
				return nil, "", err
			}
			if found.state.Truth == migrate.Source {
				config, err := w.settings.database(d)
				if err != nil {
					err = fmt.Errorf("source database %s: %w", d.Name, err)
				}
				return config, migrate.Source, err
			}
			config, err := e.targetConfig(ctx, w, m.Environment, database)
			return config, migrate.Target, err
		}
	}
	config, err := e.targetConfig(ctx, w, landscape.MainEnvironment(w.landscape), database)
	return config, migrate.Target, err
}

// targetConfig is how the engine reaches an environment's database.
func (e *Engine) targetConfig(ctx context.Context, w *world, environment, database string) (config *pgx.ConnConfig, err error) {
	err = e.asking(ctx, w, "database "+database+" of "+environment, func(ctx context.Context) (err error) {
		access, err := e.healed(w).access(ctx, environment, database)
		if err != nil {
			return err
		}
		if config, err = configOf(access); err != nil {
			err = fmt.Errorf("database %s/%s: %w", environment, database, err)
		}
		return err
	})
	return config, err
}

// database is how the engine reaches a data centre's database.
func (s settings) database(d landscape.SourceEndpoint) (*pgx.ConnConfig, error) {
	text, err := s.value(d.URL)
	if err != nil {
		return nil, err
	}
	config, err := postgres.ParseURL(text)
	if err != nil {
		return nil, api.Fail(api.Usage, "%v", err)
	}
	return config, nil
}

// configOf is an administrator's way, for the driver.
func configOf(access site.DatabaseAccess) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(access.URL)
	if err != nil {
		return nil, err
	}
	if access.Dial != nil {
		config.DialFunc = access.Dial
		config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	}
	return config, nil
}
