// Package report is what a migration leaves behind for people and programs: how
// many requests, how long the write pause, what the ledger found, drawn over
// time. A Report is filled by whoever runs the migration, judged here, and
// written as JSON, as one self-contained HTML file, and as text.
//
// The JSON field names are a promise: they are only added to. Everybody may
// import it; it imports nothing of godwit.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Report is the whole of it. A part that did not happen is nil, null in JSON.
type Report struct {
	Landscape string    `json:"landscape"`
	Version   string    `json:"version"` // of godwit
	StartedAt time.Time `json:"started_at"`
	DurationS float64   `json:"duration_s"`
	Rate      float64   `json:"rate"` // requests per second that were to be sent
	Verdict   Verdict   `json:"verdict"`
	Problems  []string  `json:"problems"` // why the verdict is failed

	Requests  Requests   `json:"requests"`
	Cutover   *Move      `json:"cutover"`
	Rollback  *Move      `json:"rollback"`
	Ledger    *Ledger    `json:"ledger"`
	Rollouts  []Rollout  `json:"rollouts"`
	Isolation *Isolation `json:"isolation"`
	Timeline  Timeline   `json:"timeline"`
}

// Verdict of a report.
type Verdict string

const (
	OK     Verdict = "ok"
	Failed Verdict = "failed"
)

// Requests are what the clients saw.
type Requests struct {
	Sent         int64   `json:"sent"`
	OK           int64   `json:"ok"`
	Failed       int64   `json:"failed"`
	Held         int64   `json:"held"` // waited in the gateway, and were answered
	P50MS        float64 `json:"p50_ms"`
	P99MS        float64 `json:"p99_ms"`
	MaxMS        float64 `json:"max_ms"`
	LongestGapMS float64 `json:"longest_gap_ms"` // longest time without any answer
}

// Move is a cutover or a rollback.
type Move struct {
	WritePauseMS float64 `json:"write_pause_ms"`
	Steps        []Step  `json:"steps"`
	LSN          string  `json:"lsn"` // the fence position that was waited for
}

// Step is one step of a move and how long it took.
type Step struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
}

// Ledger compares the acknowledged writes with the data.
type Ledger struct {
	Acknowledged int64 `json:"acknowledged"`
	Found        int64 `json:"found"`
	Missing      int64 `json:"missing"`
	Duplicated   int64 `json:"duplicated"`
	ReceiptGaps  int64 `json:"receipt_gaps"`
	ChainBreaks  int64 `json:"chain_breaks"`
}

// Rollout is one deploy under load.
type Rollout struct {
	Service        string `json:"service"`
	From           string `json:"from"`
	To             string `json:"to"`
	Outcome        string `json:"outcome"`
	Expected       string `json:"expected,omitempty"` // another outcome than this one is a problem
	FailedRequests int64  `json:"failed_requests"`
	Shielded       int64  `json:"shielded"` // errors that another release answered instead
	Reason         string `json:"reason,omitempty"`
}

// Isolation counts the ordered pairs between which packets were sent.
type Isolation struct {
	Pairs   int `json:"pairs"`
	Allowed int `json:"allowed"`
	Denied  int `json:"denied"`
	Wrong   int `json:"wrong"` // open but not declared, or declared but closed
}

// Timeline is what happened when. Times are milliseconds since StartedAt.
type Timeline struct {
	BucketMS int64    `json:"bucket_ms"` // length of a sample
	Samples  []Sample `json:"samples"`
	Events   []Event  `json:"events"`
}

// Sample counts the requests sent in one bucket.
type Sample struct {
	AtMS   int64   `json:"at_ms"`
	Sent   int64   `json:"sent"`
	OK     int64   `json:"ok"`
	Failed int64   `json:"failed"`
	Held   int64   `json:"held"` // of those ok
	P99MS  float64 `json:"p99_ms"`
	MaxMS  float64 `json:"max_ms"`
}

// Event is a moment, or a phase when it has an end.
type Event struct {
	AtMS    int64  `json:"at_ms"`
	UntilMS int64  `json:"until_ms,omitempty"`
	Name    string `json:"name"`
	Detail  string `json:"detail,omitempty"`
}

// WriteJSON writes the report with empty lists as [], never null.
func (r Report) WriteJSON(w io.Writer) error {
	r.Problems = some(r.Problems)
	r.Rollouts = some(r.Rollouts)
	r.Timeline.Samples = some(r.Timeline.Samples)
	r.Timeline.Events = some(r.Timeline.Events)
	for _, m := range []**Move{&r.Cutover, &r.Rollback} {
		if *m != nil {
			move := **m
			move.Steps = some(move.Steps)
			*m = &move
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func some[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
