package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"godwit/internal/report"
)

var (
	update = flag.Bool("update", false, "write the golden files anew")
	keep   = flag.String("keep", "", "directory that keeps the HTML of the sample, to look at")
)

// sample is a report as a demo leaves it: a cutover, two deploys, a rollback.
func sample() report.Report {
	r := report.Report{
		Landscape: "bistro", Version: "0.1.0", StartedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), DurationS: 60, Rate: 300,
		Requests: report.Requests{Sent: 18000, OK: 18000, Held: 9, P50MS: 2.1, P99MS: 9.4, MaxMS: 41.7, LongestGapMS: 38.2},
		Cutover: &report.Move{WritePauseMS: 12.4, LSN: "0/1A2B3C4D", Steps: []report.Step{
			{Name: "hold", MS: 0.4}, {Name: "drain", MS: 3.1}, {Name: "fence", MS: 2.2}, {Name: "wait for the fence position", MS: 4.9},
			{Name: "sequences", MS: 0.8}, {Name: "reverse replication", MS: 0.6}, {Name: "shift", MS: 0.3}, {Name: "release", MS: 0.1}}},
		Rollback:  &report.Move{WritePauseMS: 15.9, LSN: "0/2B3C4D5E", Steps: []report.Step{{Name: "hold", MS: 0.5}, {Name: "fence", MS: 15.4}}},
		Ledger:    &report.Ledger{Acknowledged: 6012, Found: 6012},
		Isolation: &report.Isolation{Pairs: 462, Allowed: 38, Denied: 424},
		Rollouts: []report.Rollout{
			{Service: "till", From: "1", To: "2", Outcome: "done"},
			{Service: "till", From: "2", To: "3", Outcome: "refused", Expected: "refused", Shielded: 7, Reason: "5xx 41 % against 0 %"}},
		Timeline: report.Timeline{BucketMS: 100},
	}
	for i := range int64(600) {
		s := report.Sample{AtMS: i * 100, Sent: 28 + i*7%5, P99MS: 3 + 1.6*math.Sin(float64(i)/9) + float64(i*31%17)/9}
		s.OK = s.Sent
		switch i {
		case 200, 480:
			s.Held, s.P99MS = 9, 38
		case 361, 362:
			s.P99MS = 24
		}
		s.MaxMS = s.P99MS * 1.3
		r.Timeline.Samples = append(r.Timeline.Samples, s)
	}
	r.Timeline.Events = []report.Event{
		{AtMS: 1000, Name: "adopt"}, {AtMS: 2000, UntilMS: 11000, Name: "sync", Detail: "24 tables"},
		{AtMS: 11500, Name: "isolation tested"}, {AtMS: 20000, UntilMS: 20040, Name: "cutover", Detail: "write pause 12.4 ms"},
		{AtMS: 21000, UntilMS: 23500, Name: "verify"}, {AtMS: 26000, UntilMS: 33000, Name: "deploy till v2"},
		{AtMS: 35500, UntilMS: 39000, Name: "deploy till v3 (broken)", Detail: "refused, shifted back"},
		{AtMS: 48000, UntilMS: 48040, Name: "rollback", Detail: "write pause 15.9 ms"}, {AtMS: 59500, Name: "ledger compared with the data"},
	}
	return r
}

func TestJSONNames(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Timeline.Samples = r.Timeline.Samples[:1]
	r.Timeline.Events = r.Timeline.Events[1:2]
	r.Judge()
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.json", b.Bytes())
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestEmptyListsAreLists(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := (report.Report{Cutover: &report.Move{}}).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, list := range []any{got["problems"], got["rollouts"], got["cutover"].(map[string]any)["steps"],
		got["timeline"].(map[string]any)["samples"], got["timeline"].(map[string]any)["events"]} {
		if list == nil {
			t.Errorf("a list is null:\n%s", b.String())
		}
	}
	if got["rollback"] != nil {
		t.Errorf("a rollback that did not happen is %v", got["rollback"])
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*report.Report)
		want string
	}{
		"ok":              {func(*report.Report) {}, ""},
		"nothing sent":    {func(r *report.Report) { r.Requests = report.Requests{} }, "requests: none was sent"},
		"failed":          {func(r *report.Report) { r.Requests.OK, r.Requests.Failed = 17998, 2 }, "requests: 2 failed"},
		"unaccounted":     {func(r *report.Report) { r.Requests.OK = 17999 }, "requests: 1 have neither succeeded nor failed"},
		"missing":         {func(r *report.Report) { r.Ledger.Missing, r.Ledger.Found = 1, 6011 }, "ledger: 1 acknowledged writes are missing"},
		"not found":       {func(r *report.Report) { r.Ledger.Found = 6011 }, "ledger: found 6011 of 6012 acknowledged writes"},
		"duplicated":      {func(r *report.Report) { r.Ledger.Duplicated = 3 }, "ledger: 3 acknowledged writes are there more than once"},
		"gaps":            {func(r *report.Report) { r.Ledger.ReceiptGaps = 1 }, "ledger: 1 gaps in receipt numbers"},
		"breaks":          {func(r *report.Report) { r.Ledger.ChainBreaks = 1 }, "ledger: 1 breaks in hash chains"},
		"nothing written": {func(r *report.Report) { *r.Ledger = report.Ledger{} }, "ledger: no write was acknowledged, so nothing is proved"},
		"isolation":       {func(r *report.Report) { r.Isolation.Wrong = 1 }, "isolation: 1 pairs are not as declared"},
		"isolation empty": {func(r *report.Report) { *r.Isolation = report.Isolation{} }, "isolation: no pair was tried"},
		"rollout":         {func(r *report.Report) { r.Rollouts[0].FailedRequests = 1 }, "rollout of till from 1 to 2: 1 requests failed"},
		"rollout outcome": {func(r *report.Report) { r.Rollouts[1].Outcome = "done" }, "rollout of till from 2 to 3: ended done, expected refused"},
		"noted before":    {func(r *report.Report) { r.Problem("cutover: step fence over budget") }, "cutover: step fence over budget"},
		"parts missing":   {func(r *report.Report) { r.Ledger, r.Isolation, r.Rollback, r.Rollouts = nil, nil, nil, nil }, ""},
	} {
		r := sample()
		c.edit(&r)
		r.Judge()
		r.Judge()
		verdict := report.OK
		if c.want != "" {
			verdict = report.Failed
		}
		if got := strings.Join(r.Problems, "\n"); got != c.want || r.Verdict != verdict {
			t.Errorf("%s: got %s, %q, want %s, %q", name, r.Verdict, got, verdict, c.want)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Rollouts[0].FailedRequests = 2
	r.Rollouts[0].Reason = "a\x1b[2Jb"
	r.Judge()
	var b bytes.Buffer
	if err := r.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsRune(b.Bytes(), '\x1b') {
		t.Error("an escape in a report without colour")
	}
	golden(t, "testdata/report.txt", b.Bytes())
	b.Reset()
	if err := r.WriteText(&b, true); err != nil || !bytes.Contains(b.Bytes(), []byte("\x1b[1;31m✗ failed")) {
		t.Errorf("no colour: %q, %v", b.String(), err)
	}
}

func TestHTML(t *testing.T) {
	t.Parallel()
	failed := sample()
	failed.Ledger.Missing = 1
	empty := report.Report{Landscape: "empty"}
	odd := report.Report{Landscape: "odd", Timeline: report.Timeline{Samples: []report.Sample{{AtMS: -5, P99MS: math.Inf(1)}, {P99MS: math.NaN(), OK: 1, Held: 9}},
		Events: []report.Event{{AtMS: -9, Name: "early"}, {AtMS: 5, UntilMS: 1, Name: "backwards"}}}}
	long := sample()
	for i := range int64(100_000) {
		long.Timeline.Samples = append(long.Timeline.Samples, report.Sample{AtMS: i * 100, OK: 30, P99MS: 2})
	}
	for name, r := range map[string]report.Report{"sample": sample(), "failed": failed, "empty": empty, "odd": odd, "long": long} {
		r.Judge()
		var b bytes.Buffer
		if err := r.WriteHTML(&b); err != nil {
			t.Fatal(name, err)
		}
		if *keep != "" {
			if err := os.WriteFile(*keep+"/"+name+".html", b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		checkPage(t, name, b.String())
		if b.Len() > 300_000 {
			t.Errorf("%s: the page has %d bytes", name, b.Len())
		}
	}
}

// checkPage says what holds for every page: it is well-formed, and asks for
// nothing outside of itself.
func checkPage(t *testing.T, name, source string) {
	t.Helper()
	if found := regexp.MustCompile(`(?i)https?:|//[a-z]|\bsrc=|\bhref=|url\(|@import|<script|<link|NaN|[+-]Inf|%!`).FindString(source); found != "" {
		t.Errorf("%s: the page has %q", name, found)
	}
	void := map[string]bool{"meta": true}
	var open []string
	for z := html.NewTokenizer(strings.NewReader(source)); ; {
		kind := z.Next()
		tag, _ := z.TagName()
		switch kind {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("%s: left open: %v", name, open)
			}
			return
		case html.StartTagToken:
			if !void[string(tag)] {
				open = append(open, string(tag))
			}
		case html.EndTagToken:
			if n := len(open); n == 0 || open[n-1] != string(tag) {
				t.Fatalf("%s: </%s> closes %v", name, tag, open)
			}
			open = open[:len(open)-1]
		}
	}
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>alert(1)</script><img src=x onerror=y>`
	r := sample()
	r.Landscape, r.Version = hostile, hostile
	r.Problems = []string{hostile}
	r.Cutover.LSN, r.Cutover.Steps[0].Name = hostile, hostile
	r.Rollouts[0] = report.Rollout{Service: hostile, From: hostile, To: hostile, Outcome: hostile, Reason: hostile}
	r.Timeline.Events[0] = report.Event{Name: hostile, Detail: hostile}
	r.Verdict = hostile
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"<script", "<img"} {
		if strings.Contains(b.String(), tag) {
			t.Errorf("%s is in the page", tag)
		}
	}
}
