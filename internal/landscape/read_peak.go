package landscape

import (
	"fmt"
	"slices"
	"time"
)

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // as time.Weekday counts

// peak reads a block peak of a scale.
func (b *body) peak(most int) Peak {
	p := Peak{Name: b.name, Days: b.days()}
	var begins, ends bool
	p.From, begins = b.timeOfDay("from")
	p.Until, ends = b.timeOfDay("until")
	p.Timezone = b.timezone()
	min, at := b.number("min", 1, 1, maxScale)
	p.Min = min
	if p.Min > most {
		b.add(at, Error, fmt.Sprintf("%s has min %d above the scale's max %d", b.title, p.Min, most), fmt.Sprintf("write max = %d in the scale, or a lower min here", p.Min))
	}
	if _, at, _ := b.expr("until"); begins && ends && p.From == p.Until {
		b.add(at, Error, b.title+" ends when it begins", "write another time for until")
	}
	return p
}

// timeOfDay reads "18:30".
func (b *body) timeOfDay(name string) (TimeOfDay, bool) {
	s, at := b.text(name, "")
	if s == "" {
		return TimeOfDay{}, false
	}
	t, err := time.Parse("15:04", s)
	if err != nil {
		b.must(at, name, "a time of day")
	}
	return TimeOfDay{t.Hour(), t.Minute()}, err == nil
}

func (b *body) days() []time.Weekday {
	_, at, given := b.expr("days")
	if !given {
		return nil
	}
	var all []time.Weekday
	for _, s := range b.texts("days") {
		i := slices.Index(dayNames, s)
		if i < 0 {
			b.must(at, "days", "a list of "+quotedList(dayNames))
			continue
		}
		if day := time.Weekday(i); !slices.Contains(all, day) {
			all = append(all, day)
		}
	}
	slices.Sort(all)
	return all
}
