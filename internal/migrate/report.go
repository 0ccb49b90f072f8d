package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/migrate/postgres"
)

// Report is how a switch went.
type Report struct {
	From       Side               `json:"from"`
	To         Side               `json:"to"`
	Status     journal.Status     `json:"status"`
	WritePause time.Duration      `json:"write_pause"` // from hold to release, as the gateway's clients saw it
	Steps      []journal.Result   `json:"steps"`
	LSN        map[string]string  `json:"lsn"` // fence position by database
	Held       Held               `json:"held"`
	Findings   landscape.Findings `json:"findings"`
}

// NewReport reads the report of a switch from what the journal keeps of it.
func NewReport(p Plan, outcome journal.Outcome, note func(name string) string) Report {
	r := Report{From: p.From, To: p.From.Other(), Status: outcome.Status, Steps: outcome.Steps, LSN: map[string]string{},
		Findings: landscape.Findings{}}
	if err := json.Unmarshal([]byte(note("held")), &r.Held); err == nil {
		r.WritePause = r.Held.Total
	}
	if r.Held.Expired {
		r.Findings = append(r.Findings, landscape.Finding{Severity: landscape.Warning,
			Summary: "the hold ended by its lease, before the release: requests went on without waiting for the end of this",
			Mend:    "see why the engine, or the way to a database, was away; nothing that was acknowledged is lost"})
	}
	for _, database := range p.Databases {
		if position, err := postgres.ParsePosition(note("fence:" + database)); err == nil {
			r.LSN[database] = position.Fence
		}
		if violation := note("proof:" + database); violation != "" && violation != held {
			r.Findings = append(r.Findings, landscape.Finding{Severity: landscape.Error,
				Summary: fmt.Sprintf("fence of database %q violated: %s", database, violation),
				Mend:    "compare both sides with migrate verify, and carry over what is missing by hand"})
		}
	}
	if outcome.Failed != "" {
		r.Findings = append(r.Findings, Explain(outcome))
		if left := note(noteLeft); left != "" && outcome.Status == journal.Undone {
			r.Findings = append(r.Findings, landscape.Finding{Severity: landscape.Warning, Summary: left, Mend: "run the switch again when both sides answer, or godwit migrate abort"})
		}
	}
	return r
}

// Explain is the finding of a switch that did not end as planned: which step, why, what now.
func Explain(o journal.Outcome) landscape.Finding {
	f := landscape.Finding{Severity: landscape.Error, Summary: fmt.Sprintf("step %q failed", o.Failed)}
	if o.Cause != nil {
		f.Summary += ": " + o.Cause.Error()
	}
	switch o.Status {
	case journal.Undone:
		f.Summary += " (clients go on where they were, nothing is lost)"
	case journal.Stuck:
		f.Summary += " (neither finished nor taken back yet)"
	}
	f.Mend = mend(o)
	return f
}

// mends say what to do about the errors that a switch can meet.
var mends = []struct {
	err  error
	mend string
}{
	{ErrPause, "raise max_pause, or switch when there is less load or the way between the servers is better; the steps above say where the time went"},
	{journal.ErrOverBudget, "switch when there is less load, or end the transaction that everything waits for"},
	{postgres.ErrPrepared, "COMMIT PREPARED or ROLLBACK PREPARED it, then switch again"},
	{postgres.ErrChanged, postgres.ChangedMend},
	{postgres.ErrUnreachable, "start the server, or open the way to it, then switch again"},
	{postgres.ErrState, "migrate status says where each database stands"},
}

func mend(o journal.Outcome) string {
	if o.Status == journal.Stuck {
		return "mend the cause: the engine resumes it by itself"
	}
	for _, m := range mends {
		if o.Cause != nil && (errors.Is(o.Cause, m.err) || strings.Contains(o.Cause.Error(), m.err.Error())) {
			return m.mend
		}
	}
	return "mend the cause, then switch again"
}

func sequencesNote(all []postgres.Sequence) string {
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // names and numbers only
	}
	return string(text)
}

func parseSequences(note string) (all []postgres.Sequence, err error) {
	if err := json.Unmarshal([]byte(note), &all); err != nil {
		return nil, fmt.Errorf("sequences that were noted: %w", err)
	}
	return all, nil
}

// held is the note of a proof that found nothing.
const held = "held"

func violationNote(v *postgres.Violation) string {
	if v == nil {
		return held
	}
	return fmt.Sprintf("%d commits after it, in %s", v.Commits, strings.Join(v.Tables, ", "))
}

func heldNote(h Held) string {
	text, err := json.Marshal(h)
	if err != nil {
		panic(err) // numbers only
	}
	return string(text)
}
