package store

import (
	"context"
	"database/sql"
	"time"
)

// Deployment is one attempt to make a release the running one, kept for ever.
type Deployment struct {
	Environment string    `json:"environment"`
	Service     string    `json:"service"`
	Release     int       `json:"release"`
	At          time.Time `json:"at"`
	Outcome     string    `json:"outcome"` // a status of the journal, or the engine's own word
}

// AddDeployment appends to the history of deployments.
func (s *Store) AddDeployment(ctx context.Context, d Deployment) error {
	_, err := s.writer.ExecContext(ctx,
		"INSERT INTO deployments (environment, service, release, at, outcome) VALUES (?, ?, ?, ?, ?)",
		d.Environment, d.Service, d.Release, stamp(d.At), d.Outcome)
	return about(err, "deployment of", d.Environment+"/"+d.Service)
}

// Deployments returns the history of a service in an environment, oldest first.
func (s *Store) Deployments(ctx context.Context, environment, service string) ([]Deployment, error) {
	history, err := collect(ctx, s.reader, scanDeployment, `SELECT environment, service, release, at, outcome FROM deployments
		WHERE environment = ? AND service = ? ORDER BY id`, environment, service)
	return history, about(err, "deployments of", environment+"/"+service)
}

func scanDeployment(rows *sql.Rows) (Deployment, error) {
	var d Deployment
	var at int64
	err := rows.Scan(&d.Environment, &d.Service, &d.Release, &at, &d.Outcome)
	d.At = moment(at)
	return d, err
}
