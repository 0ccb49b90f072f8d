package fleet

import "time"

// LatencyBounds are the upper bounds of Traffic.Latency: powers of the square
// root of two from 250 microseconds to about 16 seconds.
var LatencyBounds = latencyBounds()

func latencyBounds() []time.Duration {
	var bounds []time.Duration
	for b, i := 250*time.Microsecond, 0; i < 17; i++ {
		bounds = append(bounds, b, b*1414/1000)
		b *= 2
	}
	return bounds
}

// Bucket is the index into Traffic.Latency for a request that took d.
func Bucket(d time.Duration) int {
	lo, hi := 0, len(LatencyBounds)
	for lo < hi {
		mid := (lo + hi) / 2
		if d <= LatencyBounds[mid] {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// Sub returns what came since an earlier observation.
func (t Traffic) Sub(earlier Traffic) Traffic {
	d := Traffic{
		Requests: t.Requests - earlier.Requests,
		Errors:   t.Errors - earlier.Errors,
		Shielded: t.Shielded - earlier.Shielded,
		Latency:  append([]uint64(nil), t.Latency...),
	}
	for i := range earlier.Latency {
		if i < len(d.Latency) {
			d.Latency[i] -= earlier.Latency[i]
		}
	}
	return d
}

// Quantile is the upper bound of the bucket in which the q-quantile falls
// (0 < q <= 1); 0 without requests.
func (t Traffic) Quantile(q float64) time.Duration {
	var total uint64
	for _, n := range t.Latency {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank, seen := uint64(q*float64(total)+0.999999), uint64(0)
	for i, n := range t.Latency {
		seen += n
		if seen >= rank {
			return LatencyBounds[min(i, len(LatencyBounds)-1)]
		}
	}
	return LatencyBounds[len(LatencyBounds)-1]
}
