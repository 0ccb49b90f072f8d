package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/landscape"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	for ms, want := range map[float64]string{0: "0.0 ms", 0.26: "0.3 ms", 999.9: "999.9 ms", 1000: "1.0 s", 59_940: "59.9 s", 61_200: "1m1s", 3_661_000: "1h1m1s"} {
		if got := milliseconds(ms); got != want {
			t.Errorf("%v ms is shown as %q, want %q", ms, got, want)
		}
	}
}

func TestProgressLines(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	v := newView(io.Discard, &got)
	for _, e := range []api.Event{
		{Scope: "production/till", Step: "launch", State: "begun", MS: 5},
		{Scope: "production/till", Step: "launch", State: "done", MS: 1500},
		{Scope: "image till", Step: "build", State: "failed", Message: "exit status 1\nmain.go:3: wrong", MS: 2},
		{Scope: "postgres", State: "note", Message: "unpacking"},
	} {
		v.event(e)
	}
	want := `… production/till          launch
✓ production/till          launch (1.5 s)
✗ image till               build exit status 1 … (2.0 ms)
· postgres                  unpacking
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestSummaryOfAFleet(t *testing.T) {
	t.Parallel()
	two := []fleet.Instance{{State: fleet.Ready}, {State: fleet.Starting}}
	for want, f := range map[string]fleet.Fleet{
		"0 of 0 ready":            {},
		"1 of 2 ready, release 3": {Instances: two, Weights: fleet.Weights{3: 100, 2: 0}},
		"1 of 2 ready, release 3 gets 90 %, release 4 gets 10 %": {Instances: two, Weights: fleet.Weights{4: 1, 3: 9}},
	} {
		if got := summary(f); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// TestResultThatNobodyGot: a result that could not be written is no success.
func TestResultThatNobodyGot(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"version", "--json"}} {
		var stderr strings.Builder
		if code := Run(t.Context(), args, nil, full{}, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%v: exit %d, %q", args, code, stderr.String())
		}
	}
}

// TestNothingIsObeyed: what programs and servers said moves no cursor of a terminal,
// wherever it is shown; colours of godwit's own stay.
func TestNothingIsObeyed(t *testing.T) {
	t.Parallel()
	const evil = "a\x1b]0;owned\a\x1b[2J\r\x9b31m\u009b1mb\u202ec"
	var out, err bytes.Buffer
	v := newView(&out, &err)
	v.color = true
	g := &globals{view: v}
	v.note("%s", evil)
	v.event(api.Event{Scope: evil, Step: evil, State: "failed", Message: evil})
	v.failure(errors.New(evil))
	v.failure(&api.Failure{Code: api.Usage, Findings: landscape.Findings{{Severity: landscape.Error, Summary: "table " + evil, Mend: evil}}})
	if e := v.result(nil, func(w io.Writer) { io.WriteString(w, v.paint(red, "red")+evil) }); e != nil {
		t.Error(e)
	}
	line, e := json.Marshal(api.LogLine{Environment: "test", Instance: "till-1-1", Line: evil})
	if e != nil {
		t.Fatal(e)
	}
	g.logLine(line)
	for name, text := range map[string]string{"stdout": out.String(), "stderr": err.String()} {
		rest := strings.NewReplacer("\x1b[31m", "", "\x1b[1;31m", "", "\x1b[1;32m", "", "\x1b[90m", "", "\x1b[0m", "", "\n", "").Replace(text)
		if strings.ContainsFunc(rest, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
			t.Errorf("%s: %q", name, rest)
		}
		if !strings.Contains(text, "\x1b[31m") || !strings.Contains(text, "owned") {
			t.Errorf("%s: %q", name, text)
		}
	}
}
