package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/migrate"
	"godwit/internal/probe"
	"godwit/internal/stand"
)

// configOf is how a database is reached on a side, past the engine.
func (s *stage) configOf(ctx context.Context, side migrate.Side, database string) (*pgx.ConnConfig, error) {
	if side == migrate.Source {
		return pgx.ParseConfig(s.source.Server.URL(database))
	}
	access, err := s.site.Database(ctx, environment, database)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(access.URL)
	if err != nil {
		return nil, err
	}
	config.DialFunc = access.Dial
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	return config, nil
}

func (s *stage) session(ctx context.Context, side migrate.Side, database string) (*pgx.Conn, error) {
	config, err := s.configOf(ctx, side, database)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// takesWrites tries, as the superuser and insisting on a writable transaction,
// a statement that changes no row. A side without tables takes none.
func (s *stage) takesWrites(ctx context.Context, side migrate.Side, database string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := s.session(ctx, side, database)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	var table *string
	err = conn.QueryRow(ctx, "SELECT min(tablename) FROM pg_catalog.pg_tables WHERE schemaname = 'public'").Scan(&table)
	if err != nil || table == nil {
		return false, err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("BEGIN READ WRITE; DELETE FROM public.%s WHERE false; COMMIT", pgx.Identifier{*table}.Sanitize()))
	return err == nil, nil
}

// writers says which side of each database takes writes now.
func (s *stage) writers(ctx context.Context) (map[string][]migrate.Side, error) {
	found := map[string][]migrate.Side{}
	for _, database := range stand.Databases {
		found[database] = nil
		for _, side := range []migrate.Side{migrate.Source, migrate.Target} {
			takes, err := s.takesWrites(ctx, side, database)
			if err != nil {
				return nil, fmt.Errorf("database %s, %s: %w", database, side, err)
			}
			if takes {
				found[database] = append(found[database], side)
			}
		}
	}
	return found, nil
}

// truth is the one side that takes writes to all databases. errTwoWriters when
// there are more, or they are of different sides.
func (s *stage) truth(ctx context.Context) (migrate.Side, error) {
	writers, err := s.writers(ctx)
	if err != nil {
		return "", err
	}
	var truth migrate.Side
	for database, sides := range writers {
		switch {
		case len(sides) > 1:
			return "", fmt.Errorf("%w: database %s", errTwoWriters, database)
		case len(sides) == 0:
			return "", fmt.Errorf("%w: database %s", errNoWriter, database)
		case truth != "" && truth != sides[0]:
			return "", fmt.Errorf("%w: the databases are on different sides: %v", errTwoWriters, writers)
		}
		truth = sides[0]
	}
	return truth, nil
}

var (
	errTwoWriters = errors.New("both sides take writes")
	errNoWriter   = errors.New("no side takes writes")
)

// compare looks for every write of the ledger on a side.
func (s *stage) compare(ctx context.Context, side migrate.Side) (sum probe.Ledger, invariants map[string]int64, err error) {
	entries, err := s.load.entries()
	if err != nil {
		return sum, nil, err
	}
	for _, l := range s.probe.Ledger {
		found, err := s.found(ctx, side, l.Database, l.Query)
		if err != nil {
			return sum, nil, fmt.Errorf("ledger %s: %w", l.Name, err)
		}
		one, err := probe.Verify(ctx, probe.Named(entries, l.Name), maps.All(found))
		if err != nil {
			return sum, nil, err
		}
		sum = sum.Add(one)
	}
	invariants = map[string]int64{}
	for _, i := range s.probe.Invariants {
		conn, err := s.session(ctx, side, i.Database)
		if err != nil {
			return sum, nil, err
		}
		var n int64
		err = conn.QueryRow(ctx, i.Query).Scan(&n)
		conn.Close(ctx)
		if err != nil {
			return sum, nil, fmt.Errorf("invariant %s: %w", i.Name, err)
		}
		invariants[i.Name] = n
	}
	return sum, invariants, nil
}

func (s *stage) found(ctx context.Context, side migrate.Side, database, query string) (map[string]int64, error) {
	conn, err := s.session(ctx, side, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	found := map[string]int64{}
	var key string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&key, &n}, func() error {
		found[key] += n
		return nil
	})
	return found, err
}
