package local

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
)

// Configure implements site.Configurer. The server keeps its settings beside its data,
// and compares them with what it runs with: where somebody was killed in between,
// the next call starts it again.
func (s *Site) Configure(ctx context.Context, environment, database string, settings map[string]string) error {
	r, unlock, err := s.locked(ctx, environment)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.configure(ctx, r, database, settings); err != nil {
		return fmt.Errorf("settings of database %s in %s: %w", database, environment, err)
	}
	return nil
}

func (s *Site) configure(ctx context.Context, r *record, database string, settings map[string]string) error {
	pending, err := s.set(ctx, r, database, settings)
	if err != nil || len(pending) == 0 {
		return err
	}
	if err := s.client(r.Name).Restart(ctx, databaseID(database)); err != nil {
		return err
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 10*time.Millisecond, 200*time.Millisecond
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		pending, err := s.set(ctx, r, database, settings)
		if err == nil && len(pending) > 0 {
			err = fmt.Errorf("it runs without %v", pending)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(s.LaunchTimeout))
	return err
}

// set writes settings down where the server keeps them, and has it read them. It
// returns those that it takes up only when it starts.
func (s *Site) set(ctx context.Context, r *record, database string, settings map[string]string) (pending []string, err error) {
	conn, err := s.connect(ctx, r, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		var now, taken string
		if err := conn.QueryRow(ctx, "SELECT current_setting(name), context FROM pg_settings WHERE name = $1", name).Scan(&now, &taken); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if now == settings[name] {
			continue
		}
		value := "'" + strings.ReplaceAll(settings[name], "'", "''") + "'" // it is no query: it takes no parameters
		if _, err := conn.Exec(ctx, "ALTER SYSTEM SET "+pgx.Identifier{name}.Sanitize()+" = "+value); err != nil {
			return nil, err
		}
		if taken == "postmaster" {
			pending = append(pending, name)
		}
	}
	_, err = conn.Exec(ctx, "SELECT pg_reload_conf()")
	return pending, err
}
