package report

import (
	"testing"

	"pgregory.net/rapid"
)

// Labels never touch each other and stay inside the picture.
func TestLabelsAreApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		timeline := Timeline{BucketMS: 100, Samples: []Sample{{AtMS: 0, OK: 1, P99MS: 1}, {AtMS: 60_000, OK: 1, P99MS: 5}}}
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			at := rapid.Int64Range(0, 60_000).Draw(t, "at")
			timeline.Events = append(timeline.Events, Event{AtMS: at, UntilMS: at + rapid.Int64Range(0, 9000).Draw(t, "length"),
				Name: rapid.StringMatching(`[a-z ]{1,50}`).Draw(t, "name")})
		}
		p := draw(timeline)
		if len(p.Marks) != len(timeline.Events) {
			t.Fatalf("%d marks of %d events", len(p.Marks), len(timeline.Events))
		}
		for i, a := range p.Marks {
			if a.Label == "" {
				continue
			}
			if a.BoxX < 0 || a.BoxX+a.BoxW > p.Width || a.BoxY+17 > p.Throughput.Top {
				t.Fatalf("%q is outside", a.Label)
			}
			for _, b := range p.Marks[i+1:] {
				if b.Label != "" && a.BoxY == b.BoxY && a.BoxX < b.BoxX+b.BoxW && b.BoxX < a.BoxX+a.BoxW {
					t.Fatalf("%q and %q touch", a.Label, b.Label)
				}
			}
		}
	})
}

// Joining buckets keeps the sums.
func TestMergeKeepsSums(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		timeline := Timeline{BucketMS: 100}
		var want, got int64
		for i := range rapid.Int64Range(0, 2000).Draw(t, "samples") {
			n := i % 7
			want += n
			timeline.Samples = append(timeline.Samples, Sample{AtMS: i * 100, OK: n})
		}
		merged, bucket := merge(timeline)
		for _, s := range merged {
			got += s.OK
		}
		if got != want || len(merged) > maxColumns || bucket%100 != 0 {
			t.Fatalf("%d of %d in %d columns of %d ms", got, want, len(merged), bucket)
		}
	})
}

func TestWording(t *testing.T) {
	t.Parallel()
	for ms, want := range map[float64]string{0: "0 ms", 0.25: "0.25 ms", 1: "1 ms", 12.44: "12.4 ms", 250.4: "250 ms", 12_345: "12.3 s"} {
		if got := millis(ms); got != want {
			t.Errorf("%v is %q, want %q", ms, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
