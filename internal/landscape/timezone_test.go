package landscape_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // a machine without time zones must not fail the test

	"godwit/internal/landscape"
)

// TestTimezones: whatever godwit takes for a time zone is one of Go's, and the
// names that a person would write are among them.
func TestTimezones(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("timezones.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(text))
	if len(names) < 500 || !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Fatalf("%d names, which must be sorted, and each there once", len(names))
	}
	for _, name := range names {
		if _, err := time.LoadLocation(name); err != nil || name == "Local" {
			t.Errorf("%s is no time zone: %v", name, err)
		}
	}
	for _, name := range []string{"UTC", "Europe/Berlin", "Europe/Kyiv", "America/New_York", "America/Argentina/Buenos_Aires", "Asia/Kolkata", "Etc/GMT+5"} {
		if found := peakIn(name); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

func TestNoTimezones(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]string{
		"Local": "local is another zone on each machine", "local": `"Europe/Berlin"`, "Factory": `"Europe/Berlin"`,
		"Europe/Bielefeld": `"Europe/Berlin"`, "../etc/passwd": `"Europe/Berlin"`, "CEST": "did you mean", "Europe/Amsterdamm": `did you mean "Europe/Amsterdam"?`,
		"europe/berlin": `did you mean "Europe/Berlin"?`, "America/New York": `did you mean "America/New_York"?`, "utc": `did you mean "UTC"?`,
	} {
		found := peakIn(name)
		if len(found) != 1 || found[0].Line != 8 || !strings.Contains(found[0].Summary, "is no IANA time zone") || !strings.Contains(found[0].Mend, mend) {
			t.Errorf("%s: got %+v, want one finding with mend %s", name, found, mend)
		}
	}
}

// peakIn are the findings in a landscape with a peak in a time zone.
func peakIn(timezone string) landscape.Findings {
	_, found := landscape.Parse([]landscape.File{{Name: "l.hcl", Bytes: fmt.Appendf(nil, `landscape "l" {}
environment "e" { network = "10.1.0.0/16" }
service "s" {
  image = "./s"
  port  = 80
  scale {
    peak "p" {
      timezone = %q
      from     = "17:30"
      until    = "22:00"
      min      = 2
    }
  }
}
`, timezone)}})
	return found
}
