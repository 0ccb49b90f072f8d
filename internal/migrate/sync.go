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
func Check(ctx context.Context, readers []*postgres.Reader) (landscape.Findings, error) {
	found, err := judge(ctx, readers, func(r *postgres.Reader) (landscape.Findings, error) { return r.Check(ctx) })
	return append(found, room(ctx, readers)...), err
}

// room is what servers lack for all their databases together. Who could not be asked
// was found by the rules for each.
func room(ctx context.Context, readers []*postgres.Reader) (all landscape.Findings) {
	for _, side := range []string{postgres.Source, postgres.Target} {
		servers, _ := postgres.SharedServers(ctx, side, readers)
		for _, s := range servers {
			all = append(all, s.Room()...)
		}
	}
	return all
}

// Ways returns what has closed the way to the other side of a migration under way.
// The error is for what could not be asked.
func Ways(ctx context.Context, readers []*postgres.Reader) (landscape.Findings, error) {
	found, failures := askAll(readers, func(r *postgres.Reader) (landscape.Findings, error) { return r.Ways(ctx) })
	return found, errors.Join(failures...)
}

// Reachable returns which servers can't reach their other side. It writes, and
// takes that back: it is for operations, not for whoever looks.
func Reachable(ctx context.Context, pairs []postgres.Pair) (landscape.Findings, error) {
	return judge(ctx, pairs, func(p postgres.Pair) (landscape.Findings, error) { return postgres.Reachable(ctx, p) })
}

// judge asks about all databases at once. What could not be asked is a finding too.
func judge[T any](ctx context.Context, all []T, ask func(T) (landscape.Findings, error)) (landscape.Findings, error) {
	found, failures := askAll(all, ask)
	for _, err := range failures {
		if err != nil {
			found = append(found, Unasked(err))
		}
	}
	return found, ctx.Err()
}

// askAll asks about all databases at once; failures are by database.
func askAll[T any](all []T, ask func(T) (landscape.Findings, error)) (landscape.Findings, []error) {
	found, failures := make([]landscape.Findings, len(all)), make([]error, len(all))
	var group sync.WaitGroup
	for i, one := range all {
		group.Go(func() { found[i], failures[i] = ask(one) })
	}
	group.Wait()
	return append(landscape.Findings{}, slices.Concat(found...)...), failures
}

// Unasked is the finding of what could not be judged, or not whole; why names it.
func Unasked(why error) landscape.Finding {
	return landscape.Finding{Severity: landscape.Error, Summary: why.Error(), Mend: "mend that, then check again: more may stand behind it"}
}

// SyncSteps are one step that brings all targets to where they follow their
// sources. It is not taken back when it fails: run again it goes on, and Abort
// takes it back. progress may be nil; it is called from several goroutines.
//
// As many databases of one source are copied at a time as it has slots and senders
// for. One that fails keeps no other from its end.
func SyncSteps(writers []*postgres.Writer, progress func(postgres.Progress)) []journal.Step {
	return []journal.Step{{Name: "sync", Keeps: true, Do: func(ctx context.Context, _ *journal.Notes) error {
		readers := make([]*postgres.Reader, len(writers))
		for i, w := range writers {
			readers[i] = w.Reader
		}
		servers, unasked := postgres.SharedServers(ctx, postgres.Source, readers)
		failures := make([]error, len(writers))
		var copies sync.WaitGroup
		for _, s := range servers {
			turns := make(chan struct{}, s.AtATime())
			for _, i := range s.Databases {
				copies.Go(func() {
					turns <- struct{}{}
					failures[i] = syncOne(ctx, writers[i], progress, len(writers) > 1)
					<-turns
				})
			}
		}
		copies.Wait()
		return errors.Join(append(failures, unasked)...)
	}}}
}

// syncOne says at once that one of several failed: the error comes when all have ended.
func syncOne(ctx context.Context, w *postgres.Writer, progress func(postgres.Progress), others bool) error {
	err := w.Sync(ctx, progress)
	if err != nil && others && progress != nil && ctx.Err() == nil {
		progress(postgres.Progress{Database: w.Database, Stage: "failed; the other databases go on"})
	}
	return err
}

// Verify compares all rows of all databases, one database after the other:
// it should not take the servers from their clients.
func Verify(ctx context.Context, writers []*postgres.Writer, progress func(postgres.Verification)) ([]postgres.Verification, error) {
	all := []postgres.Verification{}
	for _, b := range writers {
		v, err := b.Verify(ctx, progress)
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Rejoin tells all databases how their other side is reached now; see
// postgres.Writer.Rejoin.
func Rejoin(ctx context.Context, writers []*postgres.Writer) error {
	return inTurn(writers, func(b *postgres.Writer) error { return b.Rejoin(ctx) })
}

// inTurn does something at all databases, one after the other. What fails at one
// keeps it from no other.
func inTurn(writers []*postgres.Writer, do func(*postgres.Writer) error) error {
	var failures []error
	for _, b := range writers {
		failures = append(failures, do(b))
	}
	return errors.Join(failures...)
}

// Status looks at all databases.
func Status(ctx context.Context, readers []*postgres.Reader) ([]postgres.Status, error) {
	all := make([]postgres.Status, len(readers))
	group, ctx := errgroup.WithContext(ctx)
	for i, r := range readers {
		group.Go(func() (err error) {
			all[i], err = r.Status(ctx)
			return err
		})
	}
	return all, group.Wait()
}

// Abort takes a sync back at all databases; see postgres.Writer.Abort.
func Abort(ctx context.Context, writers []*postgres.Writer) error {
	return inTurn(writers, func(b *postgres.Writer) error { return b.Abort(ctx) })
}

// Finish ends the migration at all databases; see postgres.Writer.Finish.
func Finish(ctx context.Context, writers []*postgres.Writer) error {
	return inTurn(writers, func(b *postgres.Writer) error { return b.Finish(ctx) })
}

// FinishAlone and AbortAlone are for a source that is gone for good; see
// postgres.Writer.FinishAlone.
func FinishAlone(ctx context.Context, writers []*postgres.Writer, inside bool) error {
	return inTurn(writers, func(b *postgres.Writer) error { return b.FinishAlone(ctx, inside) })
}

// AbortAlone is described at FinishAlone.
func AbortAlone(ctx context.Context, writers []*postgres.Writer) error {
	return inTurn(writers, func(b *postgres.Writer) error { return b.AbortAlone(ctx) })
}
