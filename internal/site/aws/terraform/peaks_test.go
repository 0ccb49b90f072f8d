package terraform

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"godwit/internal/landscape"
)

func clock(hour, minute int) landscape.TimeOfDay {
	return landscape.TimeOfDay{Hour: hour, Minute: minute}
}

func TestMoments(t *testing.T) {
	t.Parallel()
	weekend := landscape.Peak{Days: []time.Weekday{time.Friday, time.Saturday}, From: clock(17, 30), Until: clock(2, 0), Min: 6}
	lunch := landscape.Peak{From: clock(11, 0), Until: clock(14, 0), Min: 4}
	late := landscape.Peak{Days: []time.Weekday{time.Friday}, From: clock(20, 0), Until: clock(22, 0), Min: 9}
	for name, c := range map[string]struct {
		peaks []landscape.Peak
		want  []string
	}{
		"none":               {nil, nil},
		"past midnight":      {[]landscape.Peak{weekend}, []string{"0 2 * * 0,6 = 2", "30 17 * * 5,6 = 6"}},
		"every day":          {[]landscape.Peak{lunch}, []string{"0 11 * * * = 4", "0 14 * * * = 2"}},
		"one within another": {[]landscape.Peak{weekend, late}, []string{"0 2 * * 0,6 = 2", "0 20 * * 5 = 9", "0 22 * * 5 = 6", "30 17 * * 5,6 = 6"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, m := range moments(landscape.Scale{Min: 2, Max: 10, Peaks: c.peaks}) {
				got = append(got, m.cron()+" = "+string(rune('0'+m.min)))
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestMomentsFollowPeaks: whoever does as the moments say has, at every minute of
// the week, the lower bound of the highest peak that is on.
func TestMomentsFollowPeaks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		scale := landscape.Scale{Min: 2}
		for range rapid.IntRange(1, 4).Draw(t, "peaks") {
			from, until := rapid.IntRange(0, day-1).Draw(t, "from"), rapid.IntRange(0, day-1).Draw(t, "until")
			p := landscape.Peak{From: clock(from/60, from%60), Until: clock(until/60, until%60), Min: rapid.IntRange(1, 9).Draw(t, "min")}
			for d := range 7 {
				if rapid.Bool().Draw(t, "day") {
					p.Days = append(p.Days, time.Weekday(d))
				}
			}
			scale.Peaks = append(scale.Peaks, p)
		}
		changes := map[int]int{}
		for _, m := range moments(scale) {
			for _, d := range m.days {
				if _, twice := changes[d*day+m.minute]; twice {
					t.Fatalf("two moments at minute %d", d*day+m.minute)
				}
				changes[d*day+m.minute] = m.min
			}
		}
		follow(t, scale, changes)
	})
}

// follow goes through two weeks, and looks at the second.
func follow(t *rapid.T, scale landscape.Scale, changes map[int]int) {
	bound := -1
	for at := range 2 * week {
		if to, ok := changes[at%week]; ok {
			bound = to
		}
		if at < week {
			continue
		}
		want := scale.Min
		for _, p := range scale.Peaks {
			if during(p, at%week) {
				want = max(want, p.Min)
			}
		}
		if bound != want {
			t.Fatalf("at minute %d of the week the bound is %d and should be %d", at%week, bound, want)
		}
	}
}

// during says it once more, in another way: by the day on which a peak began.
func during(p landscape.Peak, at int) bool {
	today, now := time.Weekday(at/day), at%day
	began := func(d time.Weekday) bool { return len(p.Days) == 0 || slices.Contains(p.Days, d) }
	from, until := p.From.Hour*60+p.From.Minute, p.Until.Hour*60+p.Until.Minute
	if from < until {
		return began(today) && from <= now && now < until
	}
	return began(today) && now >= from || began((today+6)%7) && now < until
}

func TestArchitecture(t *testing.T) {
	t.Parallel()
	for instance, want := range map[string]string{
		"t3.small": "x86_64", "t4g.small": "arm64", "m7i.large": "x86_64", "m7i-flex.large": "x86_64", "m7gd.metal": "arm64",
		"c7gn.large": "arm64", "g4dn.xlarge": "x86_64", "g5g.xlarge": "arm64", "im4gn.large": "arm64", "is4gen.large": "arm64",
		"a1.medium": "arm64", "x2iedn.large": "x86_64", "m5.large": "x86_64", "hpc7g.4xlarge": "arm64", "r8g.large": "arm64",
	} {
		if got := architecture(instance); got != want {
			t.Errorf("%s is %s, want %s", instance, got, want)
		}
	}
}

func TestHealthWithinBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := landscape.Health{Path: "/", Interval: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "interval")),
			Timeout: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "timeout"))}
		interval, timeout := checked(h)
		if interval < 5 || interval > 300 || timeout < 2 || timeout > 120 || timeout >= interval {
			t.Fatalf("interval %d, timeout %d", interval, timeout)
		}
	})
}
