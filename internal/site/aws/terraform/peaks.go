package terraform

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"godwit/internal/landscape"
)

const (
	day  = 24 * 60 // minutes
	week = 7 * day
)

// moment is a change of the lower bound, on some days of the week.
type moment struct {
	minute int // of the day
	min    int
	days   []int // 0 is Sunday
}

// name says what happens: min-6-at-1730.
func (m moment) name() string {
	return fmt.Sprintf("min-%d-at-%02d%02d", m.min, m.minute/60, m.minute%60)
}

// cron is when it happens, as EC2 Auto Scaling reads it.
func (m moment) cron() string {
	days := "*"
	if len(m.days) < 7 {
		all := make([]string, len(m.days))
		for i, d := range m.days {
			all[i] = strconv.Itoa(d)
		}
		days = strings.Join(all, ",")
	}
	return fmt.Sprintf("%d %d * * %s", m.minute%60, m.minute/60, days)
}

// moments are all changes of the lower bound within a week. Where peaks overlap
// the higher one counts, and the end of one does not end the other.
func moments(scale landscape.Scale) []moment {
	var all []moment
	for _, at := range boundaries(scale.Peaks) {
		least := scale.Min
		for _, p := range scale.Peaks {
			if on(p, at) {
				least = max(least, p.Min)
			}
		}
		i := slices.IndexFunc(all, func(m moment) bool { return m.minute == at%day && m.min == least })
		if i < 0 {
			all = append(all, moment{minute: at % day, min: least})
			i = len(all) - 1
		}
		all[i].days = append(all[i].days, at/day)
	}
	return all
}

// boundaries are the minutes of the week at which a peak begins or ends, sorted.
func boundaries(peaks []landscape.Peak) []int {
	var all []int
	for _, p := range peaks {
		for _, d := range days(p) {
			begin := d*day + minute(p.From)
			all = append(all, begin, (begin+length(p))%week)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// on says whether a peak is on at a minute of the week.
func on(p landscape.Peak, at int) bool {
	return slices.ContainsFunc(days(p), func(d int) bool {
		return (at-d*day-minute(p.From)+week)%week < length(p)
	})
}

func days(p landscape.Peak) []int {
	if len(p.Days) == 0 {
		return []int{0, 1, 2, 3, 4, 5, 6}
	}
	all := make([]int, len(p.Days))
	for i, d := range p.Days {
		all[i] = int(d)
	}
	return all
}

func minute(t landscape.TimeOfDay) int { return t.Hour*60 + t.Minute }

// length in minutes; a peak that ends when it begins, or before, ends the day after.
func length(p landscape.Peak) int {
	if n := minute(p.Until) - minute(p.From); n > 0 {
		return n
	} else {
		return n + day
	}
}

func zone(p landscape.Peak) string {
	if p.Timezone == "" {
		return "UTC"
	}
	return p.Timezone
}
