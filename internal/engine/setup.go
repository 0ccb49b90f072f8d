package engine

import (
	"context"
	"errors"

	"godwit/internal/api"
	"godwit/internal/site/local"
	"godwit/internal/site/local/postgres"
)

// Setup finds Postgres, or installs it, and looks whether environments can be isolated.
func Setup(ctx context.Context, progress func(string)) (api.Machine, error) {
	m := api.Machine{Problems: []string{}}
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
