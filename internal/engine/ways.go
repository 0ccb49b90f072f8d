package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"godwit/internal/api"
	"godwit/internal/migrate"
)

// waysClosed says what has closed the way to the other side of a migration that moves
// into an environment, after something was rolled out there: a release may change
// definitions. "" when it is open. It only looks; what it cannot see it says.
func (e *Engine) waysClosed(ctx context.Context, w *world, environment string, sink api.Sink) string {
	var problems []string
	for _, declared := range w.landscape.Migrations {
		if declared.Environment != environment {
			continue
		}
		m, err := e.migration(ctx, w, declared.Name)
		if err == nil && (!m.state.underWay() || m.state.Phase == phaseSyncing) {
			continue
		}
		problem := ""
		if err == nil {
			problem, err = m.closed(ctx)
		}
		if err != nil {
			problem = fmt.Sprintf("it is not known whether the way to the other side is open: %v", err)
		}
		if problem != "" {
			problem = e.secrets.conceal(fmt.Sprintf("migration %s: %s", declared.Name, problem))
			sink.Note("migration "+declared.Name, "the way to the other side", problem)
			problems = append(problems, problem)
		}
	}
	return strings.Join(problems, ". ")
}

// closed is what has closed the way to the other side.
func (m *migration) closed(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	readers, err := m.readers(ctx)
	defer closeReaders(readers)
	if err != nil {
		return "", err
	}
	found, err := migrate.Ways(ctx, readers)
	var said []string
	for _, f := range found {
		said = append(said, f.Summary+"; "+f.Mend)
	}
	if err != nil {
		return "", errors.Join(err, ctx.Err())
	}
	return strings.Join(said, ". "), nil
}
