package landscape

import (
	_ "embed" // for the names
	"fmt"
	"slices"
	"strings"
)

// timezoneNames are the names that Go's own time zone data knows, one a line,
// sorted. time.LoadLocation would read the files of whatever machine this runs
// on, and know "Local"; what is valid must not depend on that. "Factory" is left
// out: it stands for no zone at all. Made, in this directory, by
//
//	unzip -Z1 "$(go env GOROOT)/lib/time/zoneinfo.zip" | grep -Ev '/$|^Factory$' | LC_ALL=C sort >timezones.txt
//
//go:embed timezones.txt
var timezoneNames string

var (
	timezones      = strings.Fields(timezoneNames)
	lowerTimezones = strings.Fields(strings.ToLower(timezoneNames)) // in the same order, for suggestions
)

// timezone reads the name of a time zone, "UTC" when it is not said.
func (b *body) timezone() string {
	s, at := b.text("timezone", "UTC")
	if _, known := slices.BinarySearch(timezones, s); known {
		return s
	}
	mend := "write for instance timezone = " + b.shape.attrs["timezone"].example
	if near := b.near(s, lowerTimezones); s == "Local" {
		mend += ": what is local is another zone on each machine"
	} else if near != "" {
		mend = "did you mean " + quoted(timezones[slices.Index(lowerTimezones, near)]) + "?"
	}
	b.add(at, Error, fmt.Sprintf("timezone %s of %s is no IANA time zone", quoted(s), b.title), mend)
	return s
}
