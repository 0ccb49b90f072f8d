package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
)

// Forget removes all runs, the documents of these kinds, and the values of all
// releases' variables. When it returns, none of it is in the store's files, the log
// beside them included, also not what an older godwit had deleted.
func (s *Store) Forget(ctx context.Context, kinds ...string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, statement := range []string{"DELETE FROM steps", "DELETE FROM runs"} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		for _, kind := range kinds {
			if _, err := tx.ExecContext(ctx, "DELETE FROM documents WHERE kind = ?", kind); err != nil {
				return err
			}
		}
		return forgetValues(ctx, tx)
	})
	if err == nil {
		err = s.compact(ctx)
	}
	if err != nil {
		return fmt.Errorf("store: forgetting what was kept: %w", err)
	}
	return nil
}

// forgetValues keeps of each release all but what its variables held.
func forgetValues(ctx context.Context, tx *sql.Tx) error {
	all, err := collect(ctx, tx, scanRelease, "SELECT body FROM releases")
	if err != nil {
		return err
	}
	for _, r := range all {
		if r = forgotten(r); !r.Forgotten {
			continue
		}
		body, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE releases SET body = ? WHERE environment = ? AND service = ? AND number = ?",
			string(body), r.Environment, r.Service, r.Number); err != nil {
			return err
		}
	}
	return nil
}

func forgotten(r fleet.Release) fleet.Release {
	env := map[string]landscape.Value{}
	for name, value := range r.Env {
		var parts []landscape.Part
		for _, p := range value.Parts {
			if p.Literal != "" {
				p.Literal, r.Forgotten = "", true
			}
			parts = append(parts, p)
		}
		env[name] = landscape.Value{Parts: parts}
	}
	r.Env = env
	return r
}

// compact writes the file anew with what is in it, and empties the log. Readers
// may be at it: they are waited for.
func (s *Store) compact(ctx context.Context) error {
	if _, err := s.writer.ExecContext(ctx, "VACUUM"); err != nil {
		return err
	}
	const again = 20 * time.Millisecond
	for {
		var busy, pages, done int
		if err := s.writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &done); err != nil || busy == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
		}
	}
}
