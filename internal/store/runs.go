package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Run is a run of the journal as written down. What its words mean is the
// journal's business.
type Run struct {
	ID, Kind, Subject string
	Payload           json.RawMessage
	Status            string
	Failed, Cause     string
	Notes             map[string]string
	Started, Ended    time.Time // Ended is zero until the run has ended
	Steps             []Step
}

// Step of a Run.
type Step struct {
	Name            string
	PointOfNoReturn bool
	Phase           string
	Started         time.Time
	Elapsed         time.Duration
	Error           string
}

// AddRun writes down a new run with all its steps. ErrExists when its id was used before.
func (s *Store) AddRun(ctx context.Context, r Run) error {
	notes, err := json.Marshal(r.Notes)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO runs
			(id, kind, subject, payload, status, failed, cause, notes, started_at, ended_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			r.ID, r.Kind, r.Subject, []byte(r.Payload), r.Status, r.Failed, r.Cause, string(notes), stamp(r.Started), stamp(r.Ended))
		if err := one(result, err, ErrExists); err != nil {
			return err
		}
		for i, step := range r.Steps {
			if err := saveStep(ctx, tx, r.ID, i, step); err != nil {
				return err
			}
		}
		return nil
	})
	return about(err, "run", r.ID)
}

// SaveRun writes, in one transaction, how a run stands and how those of its
// steps stand whose positions are given. ErrNotFound when it was never added.
func (s *Store) SaveRun(ctx context.Context, r Run, steps ...int) error {
	notes, err := json.Marshal(r.Notes)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx,
			"UPDATE runs SET status = ?, failed = ?, cause = ?, notes = ?, ended_at = ? WHERE id = ?",
			r.Status, r.Failed, r.Cause, string(notes), stamp(r.Ended), r.ID)
		if err := one(result, err, ErrNotFound); err != nil {
			return err
		}
		for _, i := range steps {
			if err := saveStep(ctx, tx, r.ID, i, r.Steps[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return about(err, "run", r.ID)
}

func saveStep(ctx context.Context, tx *sql.Tx, run string, position int, s Step) error {
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO steps
		(run, position, name, point_of_no_return, phase, started_at, elapsed, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		run, position, s.Name, s.PointOfNoReturn, s.Phase, stamp(s.Started), int64(s.Elapsed), s.Error)
	return err
}

const runColumns = "id, kind, subject, payload, status, failed, cause, notes, started_at, ended_at"

// Run returns one run. ErrNotFound when there is none of that id.
func (s *Store) Run(ctx context.Context, id string) (Run, error) {
	runs, err := s.runs(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?", id)
	if err == nil && len(runs) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Run{}, about(err, "run", id)
	}
	return runs[0], nil
}

// Runs returns the runs that have one of these statuses, oldest first.
func (s *Store) Runs(ctx context.Context, statuses ...string) ([]Run, error) {
	marks, args := make([]string, len(statuses)), make([]any, len(statuses))
	for i, status := range statuses {
		marks[i], args[i] = "?", status
	}
	runs, err := s.runs(ctx, "SELECT "+runColumns+" FROM runs WHERE status IN ("+strings.Join(marks, ", ")+
		") ORDER BY started_at, id", args...)
	if err != nil {
		return nil, fmt.Errorf("store: runs: %w", err)
	}
	return runs, nil
}

// runs reads runs and their steps from one snapshot.
func (s *Store) runs(ctx context.Context, query string, args ...any) ([]Run, error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	runs, err := collect(ctx, tx, scanRun, query, args...)
	if err != nil {
		return nil, err
	}
	for i := range runs {
		runs[i].Steps, err = collect(ctx, tx, scanStep, `SELECT name, point_of_no_return, phase, started_at, elapsed, error
			FROM steps WHERE run = ? ORDER BY position`, runs[i].ID)
		if err != nil {
			return nil, err
		}
	}
	return runs, nil
}

func scanRun(rows *sql.Rows) (Run, error) {
	var r Run
	var payload []byte
	var notes string
	var started, ended int64
	err := rows.Scan(&r.ID, &r.Kind, &r.Subject, &payload, &r.Status, &r.Failed, &r.Cause, &notes, &started, &ended)
	if err != nil {
		return r, err
	}
	r.Payload, r.Started, r.Ended = payload, moment(started), moment(ended)
	err = json.Unmarshal([]byte(notes), &r.Notes)
	return r, err
}

func scanStep(rows *sql.Rows) (Step, error) {
	var s Step
	var started, elapsed int64
	err := rows.Scan(&s.Name, &s.PointOfNoReturn, &s.Phase, &started, &elapsed, &s.Error)
	s.Started, s.Elapsed = moment(started), time.Duration(elapsed)
	return s, err
}

// querier is a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		value, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, errors.Join(rows.Err(), rows.Close())
}

// one turns a statement that changed nothing into an error.
func one(result sql.Result, err, otherwise error) error {
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return otherwise
}

// about says what an error is about.
func about(err error, kind, name string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: %s %q: %w", kind, name, err)
}
