package migrate

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/migrate/postgres"
)

// Check returns everything that stands against moving these databases. All are
// judged: what could not be asked of one is a finding too. The error is only that
// ctx has ended.
func Check(ctx context.Context, bridges []*postgres.Bridge) (landscape.Findings, error) {
	found := make([]landscape.Findings, len(bridges))
	var group sync.WaitGroup
	for i, b := range bridges {
		group.Go(func() {
			all, err := b.Check(ctx)
			if err != nil {
				all = append(all, Unasked(err))
			}
			found[i] = all
		})
	}
	group.Wait()
	return append(landscape.Findings{}, slices.Concat(found...)...), ctx.Err()
}

// Unasked is the finding of what could not be judged, or not whole; why names it.
func Unasked(why error) landscape.Finding {
	return landscape.Finding{Severity: landscape.Error, Summary: why.Error(), Mend: "mend that, then check again: more may stand behind it"}
}

// SyncSteps are one step that brings all targets to where they follow their
// sources. It is not taken back when it fails: run again it goes on, and Abort
// takes it back. progress may be nil; it is called from several goroutines.
func SyncSteps(bridges []*postgres.Bridge, progress func(postgres.Progress)) []journal.Step {
	return []journal.Step{{Name: "sync", Do: func(ctx context.Context, _ *journal.Notes) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, b := range bridges {
			group.Go(func() error { return b.Sync(ctx, progress) })
		}
		return group.Wait()
	}}}
}

// Verify compares all rows of all databases, one database after the other:
// it should not take the servers from their clients.
func Verify(ctx context.Context, bridges []*postgres.Bridge, progress func(postgres.Verification)) ([]postgres.Verification, error) {
	all := []postgres.Verification{}
	for _, b := range bridges {
		v, err := b.Verify(ctx, progress)
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Rejoin tells all databases how their other side is reached now; see
// postgres.Bridge.Rejoin.
func Rejoin(ctx context.Context, bridges []*postgres.Bridge) error {
	var failures []error
	for _, b := range bridges {
		failures = append(failures, b.Rejoin(ctx))
	}
	return errors.Join(failures...)
}

// Status looks at all databases.
func Status(ctx context.Context, bridges []*postgres.Bridge) ([]postgres.Status, error) {
	all := make([]postgres.Status, len(bridges))
	group, ctx := errgroup.WithContext(ctx)
	for i, b := range bridges {
		group.Go(func() (err error) {
			all[i], err = b.Status(ctx)
			return err
		})
	}
	return all, group.Wait()
}

// Abort takes a sync back at all databases; see postgres.Bridge.Abort.
func Abort(ctx context.Context, bridges []*postgres.Bridge) error {
	var failures []error
	for _, b := range bridges {
		failures = append(failures, b.Abort(ctx))
	}
	return errors.Join(failures...)
}

// Finish ends the migration at all databases; see postgres.Bridge.Finish.
func Finish(ctx context.Context, bridges []*postgres.Bridge) error {
	var failures []error
	for _, b := range bridges {
		failures = append(failures, b.Finish(ctx))
	}
	return errors.Join(failures...)
}
