package aws

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"pgregory.net/rapid"

	"godwit/internal/fleet"
)

// TestHistogramKeepsQuantiles: whatever the response times were, the p99 of the
// histogram is the bucket that CloudWatch's p99 lies in.
func TestHistogramKeepsQuantiles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Float64Range(0.0001, 30), 1, 3000).Draw(t, "seconds")
		slices.Sort(times)
		seconds := map[float64]float64{}
		for _, q := range quantiles() {
			seconds[q.share] = times[int(math.Ceil(q.share*float64(len(times))-1e-9))-1]
		}
		buckets := make([]uint64, len(fleet.LatencyBounds)+1)
		histogram(buckets, uint64(len(times)), seconds)
		var total uint64
		for _, b := range buckets {
			total += b
		}
		if total != uint64(len(times)) {
			t.Fatalf("%d requests became %d", len(times), total)
		}
		for _, q := range []float64{0.5, 0.9, 0.99, 0.999, 1} {
			took := time.Duration(seconds[q] * float64(time.Second))
			want := fleet.LatencyBounds[min(fleet.Bucket(took), len(fleet.LatencyBounds)-1)]
			if got := (fleet.Traffic{Latency: buckets}).Quantile(q); got != want {
				t.Fatalf("of %d requests with %v the %v quantile is %v, want %v", len(times), seconds, q, got, want)
			}
		}
	})
}

// TestCountersGrow: as a minute fills, and as it ends, no counter shrinks, though
// the minute's quantiles fall.
func TestCountersGrow(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 6, 18, 0, 0, 0, time.UTC)
	read := func(now time.Time, requests, p99 float64) fleet.Traffic {
		traffic := fleet.Traffic{Latency: make([]uint64, len(fleet.LatencyBounds)+1)}
		minute{requests: requests, errors: 2, seconds: map[float64]float64{0.5: 0.01, 0.99: p99}}.count(&traffic, at.Add(finest+late).Before(now))
		return traffic
	}
	before := read(at.Add(20*time.Second), 100, 2)
	middle := read(at.Add(50*time.Second), 200, 0.1)
	after := read(at.Add(3*time.Minute), 210, 0.2)
	for _, pair := range [][2]fleet.Traffic{{before, middle}, {middle, after}} {
		if pair[1].Requests < pair[0].Requests || pair[1].Errors < pair[0].Errors {
			t.Errorf("%+v became %+v", pair[0], pair[1])
		}
		for i, n := range pair[0].Latency {
			if pair[1].Latency[i] < n {
				t.Errorf("bucket %d had %d, has %d", i, n, pair[1].Latency[i])
			}
		}
	}
	if got := after.Quantile(0.99); got < 200*time.Millisecond || got > 300*time.Millisecond {
		t.Errorf("p99 %v", got)
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 6, 18, 0, 0, 0, time.UTC)
	found := map[time.Time]minute{}
	for id, value := range map[string]float64{"requests": 50, "errors": 2, "refused": 1, "q3": 0.25} {
		if err := collect(found, types.MetricDataResult{Id: aws.String(id), Timestamps: []time.Time{at}, Values: []float64{value}}); err != nil {
			t.Fatal(err)
		}
	}
	if m := found[at]; m.requests != 50 || m.errors != 3 || m.seconds[0.99] != 0.25 {
		t.Errorf("%+v", m)
	}
	for _, bad := range []types.MetricDataResult{
		{Id: aws.String("q99"), Timestamps: []time.Time{at}, Values: []float64{1}},
		{Id: aws.String("requests"), Timestamps: []time.Time{at}}} {
		if collect(found, bad) == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	// CloudWatch keeps minutes 15 days, 5 minutes 63 days, hours 455 days.
	for span, want := range map[time.Duration]time.Duration{time.Hour: time.Minute, 40 * 24 * time.Hour: time.Hour, 400 * 24 * time.Hour: 24 * time.Hour} {
		if got := period(span); got != want {
			t.Errorf("%v by %v", span, got)
		}
	}
}
