package aws

import (
	"testing"
	"time"

	"godwit/internal/landscape"
)

func TestLeast(t *testing.T) {
	t.Parallel()
	evening := landscape.Peak{Days: []time.Weekday{time.Friday}, From: landscape.TimeOfDay{Hour: 17, Minute: 30},
		Until: landscape.TimeOfDay{Hour: 1}, Timezone: "Europe/Zurich", Min: 6}
	lunch := landscape.Peak{From: landscape.TimeOfDay{Hour: 11}, Until: landscape.TimeOfDay{Hour: 14}, Timezone: "UTC", Min: 4}
	s := landscape.Scale{Min: 2, Max: 10, Peaks: []landscape.Peak{evening, lunch}}
	for at, want := range map[string]int{
		"2026-03-06T16:29:00Z": 2, // Friday, 17:29 in Zurich
		"2026-03-06T16:30:00Z": 6,
		"2026-03-06T23:59:00Z": 6, // Saturday, 00:59 in Zurich: still Friday's
		"2026-03-07T00:00:00Z": 2,
		"2026-03-07T20:00:00Z": 2, // Saturday evening is none
		"2026-03-06T00:30:00Z": 2, // nor is the night before
		"2026-03-09T11:00:00Z": 4,
		"2026-03-09T14:00:00Z": 2,
		"2026-07-03T15:30:00Z": 6, // Friday in summer, 17:30 in Zurich
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := least(s, now); got != want {
			t.Errorf("at %s: %d, want %d", at, got, want)
		}
	}
}
