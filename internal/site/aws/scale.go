package aws

import (
	"slices"
	"time"

	"godwit/internal/landscape"
)

// least is how many instances a service has at least at an instant: Min, or
// that of a peak that is on.
func least(s landscape.Scale, now time.Time) int {
	n := s.Min
	for _, p := range s.Peaks {
		if on(p, now) {
			n = max(n, p.Min)
		}
	}
	return n
}

// on says whether a peak is. One that ends the morning after belongs to the day
// on which it began.
func on(p landscape.Peak, now time.Time) bool {
	zone, err := time.LoadLocation(p.Timezone)
	if err != nil {
		zone = time.UTC
	}
	now = now.In(zone)
	clock := func(t landscape.TimeOfDay) int { return 60*t.Hour + t.Minute }
	minute, from, until := 60*now.Hour()+now.Minute(), clock(p.From), clock(p.Until)
	today := func(t time.Time) bool { return len(p.Days) == 0 || slices.Contains(p.Days, t.Weekday()) }
	if from < until {
		return today(now) && from <= minute && minute < until
	}
	return today(now) && minute >= from || today(now.AddDate(0, 0, -1)) && minute < until
}
