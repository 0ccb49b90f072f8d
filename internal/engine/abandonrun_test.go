package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/migrate"
)

// saysWayOut: status names the command that ends what is stuck of the migration.
func (b *bench) saysWayOut() {
	b.Helper()
	s, err := b.Status(b.Context())
	b.ok(err)
	if !slices.ContainsFunc(s.Unfinished, func(text string) bool { return strings.Contains(text, "godwit migrate abandon datacenter") }) {
		b.Errorf("the way out is not said: %q", s.Unfinished)
	}
}

// TestSwitchIsGivenUp: a switch that can neither be finished nor undone is given up by
// a command, which says what it leaves; its clients go where the truth is, and other
// commands are not refused any more.
func TestSwitchIsGivenUp(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	b.up()
	w, err := b.current()
	b.ok(err)
	m, err := b.migration(t.Context(), w, "datacenter")
	b.ok(err)
	b.ok((&traffic{m}).Hold(t.Context(), 5*time.Minute, migrate.Source))
	p := migrate.Plan{Migration: "datacenter", From: migrate.Source, Environment: "production"}
	away := func(context.Context, *journal.Notes) error { return errors.New("the source is away") }
	short := journal.Limits{Undo: 50 * time.Millisecond, Finish: 50 * time.Millisecond, Pause: time.Millisecond, LongestPause: 10 * time.Millisecond}
	outcome, err := b.journal.Within(short).Run(t.Context(), journal.Run{ID: "cutover-datacenter-1", Kind: p.Kind(), Subject: "datacenter", Payload: p.Payload()},
		[]journal.Step{{Name: "fence", Do: func(context.Context, *journal.Notes) error { return nil }, Undo: away}, {Name: "catch-up", Do: away}}, func(journal.Event) {})
	if outcome.Status != journal.Stuck {
		t.Fatalf("%+v, %v", outcome, err)
	}
	b.saysWayOut()
	answered := make(chan string, 1)
	go func() {
		_, body := b.get(host)
		answered <- body
	}()
	given, err := b.AbandonRun(t.Context(), "datacenter", b.events.sink())
	b.ok(err)
	if given.Outcome != "given-up" || given.Truth != "source" || !slices.Contains(given.Left, "fence") {
		t.Errorf("%+v", given)
	}
	if body := <-answered; body != "source" {
		t.Errorf("who was held got %q", body)
	}
	_, err = b.AbandonRun(t.Context(), "datacenter", b.events.sink())
	b.fails(err, api.Missing, "no cutover, rollback or change")
	if r := b.deploy("test", b.image("v2")); r.Outcome != "done" {
		t.Errorf("afterwards: %+v", r)
	}
}

// TestChangeIsGivenUp: the same for a change of definitions, which nobody is held for.
func TestChangeIsGivenUp(t *testing.T) {
	t.Parallel()
	b := withMigration(t)
	b.up()
	a := migrate.Apply{Migration: "datacenter", Environment: "production", Database: "till", Truth: migrate.Source, SQL: "CREATE TABLE one ()"}
	away := func(context.Context, *journal.Notes) error { return errors.New("the target is away") }
	short := journal.Limits{Undo: 50 * time.Millisecond, Finish: 50 * time.Millisecond, Pause: time.Millisecond, LongestPause: 10 * time.Millisecond}
	outcome, err := b.journal.Within(short).Run(t.Context(), journal.Run{ID: "migrate-apply-datacenter-1", Kind: migrate.KindApply, Subject: "datacenter", Payload: a.Payload()},
		[]journal.Step{{Name: "truth", Do: func(context.Context, *journal.Notes) error { return nil }, PointOfNoReturn: true}, {Name: "other", Do: away}}, func(journal.Event) {})
	if outcome.Status != journal.Stuck {
		t.Fatalf("%+v, %v", outcome, err)
	}
	b.saysWayOut()
	given, err := b.AbandonRun(t.Context(), "datacenter", b.events.sink())
	b.ok(err)
	if given.Outcome != "given-up" || !slices.Equal(given.Left, []string{"truth", "other"}) || !strings.Contains(given.Next, "--catch-up") {
		t.Errorf("%+v", given)
	}
	if r := b.deploy("test", b.image("v2")); r.Outcome != "done" {
		t.Errorf("afterwards: %+v", r)
	}
}
