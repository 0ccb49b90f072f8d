// Package chaos is a fault campaign: a restaurant moves there and back again
// under an open-loop load, while godwit's processes are killed and stopped, the
// disk is full and the link to the data centre is lost, alone and in pairs.
//
// Its nouns: a stage is everything that runs; a fault is what is done to it; a
// round is one operation with its faults; a verdict is what must not have been.
//
// What it guarantees: the same seed draws the same rounds; every process that it
// touches belongs to its own stage; nobody types a command after a fault, and the
// ledger is compared with the databases themselves, past the engine. It needs
// root, and ends what it started. Only scripts/chaos imports it.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"godwit/internal/probe"
)

// Options of a campaign.
type Options struct {
	Seed   uint64
	Rounds int           // at most
	Faults int           // it ends when so many were done; 0: with the rounds
	Within time.Duration // it ends when so much time is over; 0: with the rounds
	Pairs  float64       // share of the rounds with two faults
	Rate   float64       // requests per second
	Bistro string        // directory of the restaurant
	Godwit string        // the binary
	Only   string        // "" or a part of the faults' names
	Calm   bool          // no faults: only switches, each of which must be done
	Slow   int           // slow clients of each kind that are there all the time
	Keep   bool          // leave the directory
	Settle time.Duration // how long all may take to be well by itself
	Note   func(format string, args ...any)
}

// Report is how a campaign went.
type Report struct {
	Seed          uint64           `json:"seed"`
	Rounds        []Round          `json:"rounds"`
	Faults        int              `json:"faults"` // that were done
	Pairs         int              `json:"pairs"`  // rounds with two of them
	Took          time.Duration    `json:"took_ns"`
	Requests      int64            `json:"requests"`
	Failed        int64            `json:"failed"`   // all of them
	Excused       int64            `json:"excused"`  // in flight in what was killed, or within its time
	Harmed        int64            `json:"harmed"`   // the others: there must be none
	Stuck         int              `json:"stuck"`    // rounds after which it did not come back by itself
	Detached      int              `json:"detached"` // commands that did not learn how their operation ended
	Switches      int              `json:"switches"` // cutovers and rollbacks that were done
	Undone        int              `json:"undone"`   // that were taken back
	TwoWriters    int              `json:"two_writers"`
	Strangers     int              `json:"strangers"` // rows that were written past the gateway
	StrangersLost int              `json:"strangers_lost"`
	Ledger        probe.Ledger     `json:"ledger"`
	Invariants    map[string]int64 `json:"invariants"`
	Violations    []string         `json:"violations"`
}

// Good says whether nothing was as it must not be.
func (r *Report) Good() bool { return len(r.Violations) == 0 }

func (r *Report) violate(format string, args ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
}

// campaign is a Run under way.
type campaign struct {
	Options
	stage  *stage
	random *rand.Rand
	report *Report
}

// Run plays the rounds. The report comes back also when violations were found;
// an error means that the campaign could not go on.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	c := &campaign{Options: o, random: rand.New(rand.NewPCG(o.Seed, 0)), report: &Report{Seed: o.Seed, Violations: []string{}}}
	c.stage, err = openStage(ctx, o)
	defer func() { err = errors.Join(err, c.stage.close(len(c.report.Violations) > 0 || err != nil)) }()
	if err != nil {
		return c.report, err
	}
	begun := time.Now()
	for n := 1; n <= o.Rounds && !c.over(begun); n++ {
		round, err := c.play(ctx, n)
		c.report.Rounds = append(c.report.Rounds, round)
		o.Note("%s", round.line(o.Rounds))
		if ctx.Err() != nil {
			break // what was seen until then is compared all the same
		}
		if err != nil {
			return c.report, fmt.Errorf("round %d: %w", n, err)
		}
	}
	c.report.Took = time.Since(begun)
	return c.report, errors.Join(ctx.Err(), c.finish(context.WithoutCancel(ctx)))
}

// over says whether enough was done, or there is no time for more.
func (c *campaign) over(begun time.Time) bool {
	return c.Faults > 0 && c.report.Faults >= c.Faults || c.Within > 0 && time.Since(begun) >= c.Within
}

// finish stops the load and compares the ledger with the databases.
func (c *campaign) finish(ctx context.Context) error {
	result, err := c.stage.load.end()
	if err != nil {
		return err
	}
	r := c.report
	r.Requests, r.Failed = result.Sent, result.Failed
	if n := len(r.Rounds); n > 0 {
		c.judgeLoad(&r.Rounds[n-1]) // what has failed since it was looked at last
	}
	keys := c.stage.strangers.end()
	truth, err := c.stage.truth(ctx)
	if err != nil {
		return err
	}
	lost, err := c.stage.lost(ctx, truth, keys)
	if err != nil {
		return err
	}
	if r.Strangers, r.StrangersLost = len(keys), len(lost); len(lost) > 0 {
		r.violate("of %d rows written past the gateway %d are lost: %v", len(keys), len(lost), lost[:min(len(lost), 10)])
	}
	if r.Ledger, r.Invariants, err = c.stage.compare(ctx, truth); err != nil {
		return err
	}
	if !r.Ledger.Good() {
		r.violate("of %d acknowledged writes %d are missing and %d doubled: %v %v", r.Ledger.Acknowledged, r.Ledger.Missing, r.Ledger.Duplicated, r.Ledger.MissingKeys, r.Ledger.DuplicatedKeys)
	}
	if r.Ledger.Acknowledged == 0 {
		r.violate("no write was acknowledged: the campaign shows nothing")
	}
	for name, n := range r.Invariants {
		if n != 0 {
			r.violate("invariant %s: %d", name, n)
		}
	}
	return nil
}
