package demo

import (
	"context"
	"errors"

	"godwit/internal/site/local"
	"godwit/internal/site/local/postgres"
)

// Machine is what the local site finds here.
type Machine struct {
	Postgres         string   `json:"postgres"`
	PostgresPrograms string   `json:"postgres_programs"`
	Problems         []string `json:"problems"` // what isolation lacks, each with its mend
}

// Setup finds Postgres, or installs it, and looks whether environments can be isolated.
func Setup(ctx context.Context, progress func(string)) (Machine, error) {
	m := Machine{Problems: []string{}}
	inst, err := postgres.Find(ctx)
	if errors.Is(err, postgres.ErrNotInstalled) {
		inst, err = postgres.Install(ctx, progress)
	}
	if err != nil {
		return m, err
	}
	m.Postgres, m.PostgresPrograms = inst.Version, inst.Bin
	m.Problems = append(m.Problems, local.Lines(local.Check())...)
	return m, nil
}
