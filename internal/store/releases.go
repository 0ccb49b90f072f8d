package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"godwit/internal/fleet"
)

// AddRelease keeps a release under the next number of its environment and
// service and returns it with that number, and with the time of now when it had
// none. A number is never used twice.
func (s *Store) AddRelease(ctx context.Context, r fleet.Release) (fleet.Release, error) {
	if r.CreatedAt.IsZero() {
		r.CreatedAt = time.Now()
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) + 1 FROM releases WHERE environment = ? AND service = ?",
			r.Environment, r.Service).Scan(&r.Number)
		if err != nil {
			return err
		}
		body, err := json.Marshal(r)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO releases (environment, service, number, body) VALUES (?, ?, ?, ?)",
			r.Environment, r.Service, r.Number, string(body))
		return err
	})
	if err != nil {
		return fleet.Release{}, about(err, "release of", r.Environment+"/"+r.Service)
	}
	return r, nil
}

// Releases returns the releases of a service in an environment, oldest first.
func (s *Store) Releases(ctx context.Context, environment, service string) ([]fleet.Release, error) {
	releases, err := collect(ctx, s.reader, scanRelease,
		"SELECT body FROM releases WHERE environment = ? AND service = ? ORDER BY number", environment, service)
	return releases, about(err, "releases of", environment+"/"+service)
}

// Release returns one release. ErrNotFound when there is none of that number.
func (s *Store) Release(ctx context.Context, environment, service string, number int) (fleet.Release, error) {
	releases, err := collect(ctx, s.reader, scanRelease,
		"SELECT body FROM releases WHERE environment = ? AND service = ? AND number = ?", environment, service, number)
	if err == nil && len(releases) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fleet.Release{}, about(err, "release", fmt.Sprintf("%s/%s %d", environment, service, number))
	}
	return releases[0], nil
}

func scanRelease(rows *sql.Rows) (fleet.Release, error) {
	var r fleet.Release
	var body string
	if err := rows.Scan(&body); err != nil {
		return r, err
	}
	err := json.Unmarshal([]byte(body), &r)
	return r, err
}
