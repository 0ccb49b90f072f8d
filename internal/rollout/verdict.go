package rollout

import (
	"fmt"
	"math"
	"time"

	"godwit/internal/fleet"
)

// Policy says when a new release is refused.
type Policy struct {
	// Requests is the sample without which a new release is not accepted before
	// the watch ends, nor its latency judged.
	Requests uint64 `json:"requests"`
	// Errors of the new release below this are never held against it while it
	// is watched.
	Errors uint64 `json:"errors"`
	// Slower and SlowerBy: p99 is refused when it is more than Slower times the
	// old one's, and more than SlowerBy above it.
	Slower   float64       `json:"slower"`
	SlowerBy time.Duration `json:"slower_by"`
}

// DefaultPolicy is used for what a Policy leaves 0.
var DefaultPolicy = Policy{Requests: 30, Errors: 3, Slower: 3, SlowerBy: 50 * time.Millisecond}

func (p Policy) withDefaults() Policy {
	if p.Requests == 0 {
		p.Requests = DefaultPolicy.Requests
	}
	if p.Errors == 0 {
		p.Errors = DefaultPolicy.Errors
	}
	if p.Slower == 0 {
		p.Slower = DefaultPolicy.Slower
	}
	if p.SlowerBy == 0 {
		p.SlowerBy = DefaultPolicy.SlowerBy
	}
	return p
}

// Decision about a new release.
type Decision string

const (
	OK        Decision = "ok"
	Refused   Decision = "refused"
	Undecided Decision = "undecided" // too little seen so far
)

// Verdict is a decision and its reason, for people.
type Verdict struct {
	Decision Decision `json:"decision"`
	Reason   string   `json:"reason"`
}

// Judge compares what the new release has served since it got a share of the
// requests with what the old one has served meanwhile. OK is for now: the next
// look may refuse.
func Judge(old, recent fleet.Traffic, p Policy) Verdict {
	p = p.withDefaults()
	if failures(recent) >= p.Errors && moreErrors(old, recent) {
		return Verdict{Refused, errorsReason(old, recent)}
	}
	if served(recent) < p.Requests {
		return Verdict{Undecided, fmt.Sprintf("%d of at least %d requests seen", served(recent), p.Requests)}
	}
	if served(old) < p.Requests {
		return Verdict{OK, fmt.Sprintf("%s; the old release served too few to compare latency", errorsReason(old, recent))}
	}
	if limit, slow := tooSlow(old, recent, p); slow {
		return Verdict{Refused, fmt.Sprintf("p99 is %v, above %v, which the old release's %v allows",
			recent.Quantile(0.99), limit, old.Quantile(0.99))}
	}
	return Verdict{OK, fmt.Sprintf("%s; p99 %v against %v", errorsReason(old, recent), recent.Quantile(0.99), old.Quantile(0.99))}
}

// Settle judges when the watch is over: what is still undecided is accepted,
// unless most of the little that was seen has failed.
func Settle(old, recent fleet.Traffic, p Policy) Verdict {
	v := Judge(old, recent, p)
	if v.Decision != Undecided {
		return v
	}
	switch n := served(recent); {
	case n == 0:
		return Verdict{OK, "accepted without a comparison: no request came while it was watched"}
	case 2*failures(recent) >= n && share(recent) > share(old):
		return Verdict{Refused, errorsReason(old, recent)}
	default:
		return Verdict{OK, fmt.Sprintf("accepted on %d requests, %d of them failed", n, failures(recent))}
	}
}

// failures count what a release did wrong, whether a client saw it or another
// release answered instead.
func failures(t fleet.Traffic) uint64 { return t.Errors }

// served is never less than failures: counters are not read at one instant.
func served(t fleet.Traffic) uint64 { return max(t.Requests, failures(t)) }

func share(t fleet.Traffic) float64 {
	if served(t) == 0 {
		return 0
	}
	return float64(failures(t)) / float64(served(t))
}

// moreErrors: the error ratio of the new release lies above the old one's by
// more than chance explains, which is three standard errors of the difference,
// and by at least half a percent.
func moreErrors(old, recent fleet.Traffic) bool {
	const clearly, least = 3, 0.005
	margin := least
	if o, n := float64(served(old)), float64(served(recent)); o > 0 && n > 0 {
		p := float64(failures(old)+failures(recent)) / (o + n)
		margin = max(least, clearly*math.Sqrt(p*(1-p)*(1/o+1/n)))
	}
	return share(recent)-share(old) > margin
}

// tooSlow: more than one in a hundred requests, and at least three, took longer
// than the old p99 allows. One outlier in a small sample is not a p99.
func tooSlow(old, recent fleet.Traffic, p Policy) (limit time.Duration, slow bool) {
	const least = 3
	base := old.Quantile(0.99)
	limit = max(time.Duration(p.Slower*float64(base)), base+p.SlowerBy)
	var above, all uint64
	for i, n := range recent.Latency {
		all += n
		if i > 0 && fleet.LatencyBounds[i-1] >= limit {
			above += n
		}
	}
	return limit, above >= least && above*100 > all
}

func errorsReason(old, recent fleet.Traffic) string {
	return fmt.Sprintf("%d of %d requests failed (%.1f %%), of the old release %d of %d (%.1f %%)",
		failures(recent), served(recent), 100*share(recent), failures(old), served(old), 100*share(old))
}

// Since is what came after an earlier observation. Counters that have become
// smaller were begun anew: then all they hold came after it.
func Since(earlier, now fleet.Traffic) fleet.Traffic {
	if now.Requests < earlier.Requests || now.Errors < earlier.Errors || now.Shielded < earlier.Shielded {
		return now
	}
	for i, n := range earlier.Latency {
		if i >= len(now.Latency) || now.Latency[i] < n {
			return now
		}
	}
	return now.Sub(earlier)
}

// Alive refuses a release that has lost an instance.
func Alive(f fleet.Fleet, r fleet.Release) Verdict {
	ready := 0
	for _, i := range f.Instances {
		switch {
		case i.Release != r.Number:
		case i.State == fleet.Ready:
			ready++
		case i.State == fleet.Dead:
			return Verdict{Refused, fmt.Sprintf("instance %s ended: %s", i.ID, i.Reason)}
		}
	}
	if ready < r.Count {
		return Verdict{Refused, fmt.Sprintf("%d of %d instances are ready", ready, r.Count)}
	}
	return Verdict{OK, fmt.Sprintf("%d instances are ready", ready)}
}
