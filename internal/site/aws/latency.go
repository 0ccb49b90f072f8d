package aws

import (
	"math"
	"time"

	"godwit/internal/fleet"
)

// count adds a period to counters; its latencies only when it is over.
func (m minute) count(t *fleet.Traffic, over bool) {
	t.Requests += uint64(math.Round(m.requests))
	t.Errors += uint64(math.Round(m.errors))
	if over {
		histogram(t.Latency, uint64(math.Round(m.requests)), m.seconds)
	}
}

// histogram spreads n requests over buckets by what is known of their response
// times: those up to a quantile lie in the quantile's bucket, and the quantile of
// the histogram is that of the requests, to the width of a bucket.
func histogram(buckets []uint64, n uint64, seconds map[float64]float64) {
	if n == 0 || len(seconds) == 0 {
		return
	}
	var done uint64
	last := time.Duration(0)
	for _, q := range quantiles() {
		value, known := seconds[q.share]
		if !known {
			continue
		}
		// Never less than a lower quantile: percentiles are estimates.
		last = max(last, time.Duration(value*float64(time.Second)))
		upTo := min(n, uint64(math.Ceil(q.share*float64(n)-1e-9)))
		if upTo > done {
			buckets[fleet.Bucket(last)] += upTo - done
			done = upTo
		}
	}
	buckets[fleet.Bucket(last)] += n - done
}
