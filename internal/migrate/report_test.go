package migrate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/postgres"
)

func TestPlanIsAPayload(t *testing.T) {
	t.Parallel()
	p := migrate.Plan{Migration: "m", Environment: "production", Databases: []string{"a", "b"}, From: migrate.Target, MaxPause: time.Second}
	got, err := migrate.ParsePlan(p.Payload())
	if err != nil || fmt.Sprint(got) != fmt.Sprint(p) || got.Kind() != migrate.KindRollback {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", `{"from":"source"}`, `{"from":"elsewhere","max_pause":1}`} {
		if _, err := migrate.ParsePlan(json.RawMessage(bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestReportReadsNotes(t *testing.T) {
	t.Parallel()
	notes := map[string]string{"held": `{"requests":7,"total":5000000,"expired":true}`, "fence:a": "0/1 0/2 3", "proof:a": "held",
		"fence:b": "0/5 0/6 7", "proof:b": "2 commits after it, in public.t"}
	p := migrate.Plan{Databases: []string{"a", "b", "c"}, From: migrate.Source}
	r := migrate.NewReport(p, journal.Outcome{Status: journal.Done}, func(name string) string { return notes[name] })
	if r.To != migrate.Target || r.WritePause != 5*time.Millisecond || r.Held.Requests != 7 || fmt.Sprint(r.LSN) != "map[a:0/1 b:0/5]" {
		t.Errorf("%+v", r)
	}
	if len(r.Findings) != 2 || !strings.Contains(r.Findings[0].Summary, "lease") || !strings.Contains(r.Findings[1].Summary, `"b" violated: 2 commits`) {
		t.Errorf("findings %+v", r.Findings)
	}
}

func TestExplainNamesStepAndMend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cause error
		mend  string
	}{
		{fmt.Errorf("x: %w", migrate.ErrPause), "max_pause"},
		{errors.New("read back from the journal: " + postgres.ErrPrepared.Error()), "COMMIT PREPARED"},
		{errors.New("something new"), "mend the cause"},
	} {
		f := migrate.Explain(journal.Outcome{Status: journal.Undone, Failed: "fence", Cause: c.cause})
		if !strings.Contains(f.Summary, `step "fence"`) || !strings.Contains(f.Summary, "clients go on where they were") || !strings.Contains(f.Mend, c.mend) {
			t.Errorf("%+v", f)
		}
	}
	if f := migrate.Explain(journal.Outcome{Status: journal.Stuck, Failed: "open"}); !strings.Contains(f.Mend, "resumes") {
		t.Errorf("%+v", f)
	}
}
