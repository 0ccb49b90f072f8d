package rollout

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"godwit/internal/fleet"
)

// traffic of n requests that took d each, of which some failed.
func traffic(n, failed uint64, d time.Duration) fleet.Traffic {
	t := fleet.Traffic{Requests: n, Errors: failed, Latency: make([]uint64, len(fleet.LatencyBounds)+1)}
	t.Latency[fleet.Bucket(d)] = n
	return t
}

func plus(a, b fleet.Traffic) fleet.Traffic {
	a.Requests, a.Errors, a.Shielded = a.Requests+b.Requests, a.Errors+b.Errors, a.Shielded+b.Shielded
	latency := append([]uint64(nil), a.Latency...)
	for i := range latency {
		latency[i] += b.Latency[i]
	}
	a.Latency = latency
	return a
}

const fast, slow = 2 * time.Millisecond, 400 * time.Millisecond

func TestJudge(t *testing.T) {
	t.Parallel()
	shielded := traffic(30, 0, fast)
	shielded.Errors, shielded.Shielded = 5, 5
	for name, c := range map[string]struct {
		old, recent fleet.Traffic
		judged      Decision
		settled     Decision
		reason      string
	}{
		"nothing":                     {fleet.Traffic{}, fleet.Traffic{}, Undecided, OK, "no request came"},
		"too few":                     {traffic(100, 0, fast), traffic(29, 0, fast), Undecided, OK, "29 requests"},
		"enough":                      {traffic(270, 0, fast), traffic(30, 0, fast), OK, OK, "0 of 30 requests failed"},
		"no old traffic":              {fleet.Traffic{}, traffic(30, 0, fast), OK, OK, "too few to compare"},
		"three errors":                {traffic(270, 0, fast), traffic(30, 3, fast), Refused, Refused, "3 of 30 requests failed (10.0 %)"},
		"two errors":                  {traffic(270, 0, fast), traffic(30, 2, fast), OK, OK, "2 of 30"},
		"errors at once":              {traffic(27, 0, fast), traffic(3, 3, fast), Refused, Refused, "3 of 3"},
		"errors without old":          {fleet.Traffic{}, traffic(4, 3, fast), Refused, Refused, "3 of 4"},
		"errors in many":              {traffic(90000, 0, fast), traffic(10000, 3, fast), OK, OK, "3 of 10000"},
		"as bad as the old":           {traffic(270, 135, fast), traffic(30, 17, fast), OK, OK, "17 of 30"},
		"worse than a bad old":        {traffic(270, 135, fast), traffic(30, 29, fast), Refused, Refused, "29 of 30"},
		"better than the old":         {traffic(270, 135, fast), traffic(30, 3, fast), OK, OK, "3 of 30"},
		"shielded count as errors":    {traffic(270, 0, fast), shielded, Refused, Refused, "5 of 30"},
		"errors read before requests": {traffic(270, 0, fast), fleet.Traffic{Errors: 3}, Refused, Refused, "3 of 3"},
		"the only one failed":         {traffic(270, 0, fast), traffic(1, 1, fast), Undecided, Refused, "1 of 1"},
		"one of ten failed":           {traffic(270, 0, fast), traffic(10, 1, fast), Undecided, OK, "10 requests, 1 of them failed"},
		"slow":                        {traffic(270, 0, fast), traffic(30, 0, slow), Refused, Refused, "p99 is"},
		"one outlier":                 {traffic(270, 0, fast), plus(traffic(89, 0, fast), traffic(1, 0, slow)), OK, OK, "p99"},
		"three outliers":              {traffic(270, 0, fast), plus(traffic(87, 0, fast), traffic(3, 0, slow)), Refused, Refused, "p99"},
		"rare outliers":               {traffic(270, 0, fast), plus(traffic(990, 0, fast), traffic(3, 0, slow)), OK, OK, "p99"},
		"slow in milliseconds only":   {traffic(270, 0, fast), traffic(30, 0, 20*time.Millisecond), OK, OK, "p99"},
		"slow but less than thrice":   {traffic(270, 0, slow), traffic(30, 0, 2*slow), OK, OK, "p99"},
		"slow with a slow old":        {traffic(270, 0, slow), traffic(30, 0, 10*slow), Refused, Refused, "p99"},
		"slow, too few":               {traffic(270, 0, fast), traffic(10, 0, slow), Undecided, OK, "10 requests"},
		"slower than all bounds":      {traffic(270, 0, fast), traffic(30, 0, time.Minute), Refused, Refused, "p99"},
	} {
		if v := Judge(c.old, c.recent, Policy{}); v.Decision != c.judged || v.Reason == "" {
			t.Errorf("%s: judged %+v, want %s", name, v, c.judged)
		}
		if v := Settle(c.old, c.recent, Policy{}); v.Decision != c.settled || !strings.Contains(v.Reason, c.reason) {
			t.Errorf("%s: settled %+v, want %s because of %q", name, v, c.settled, c.reason)
		}
	}
}

func TestPolicyIsHeeded(t *testing.T) {
	t.Parallel()
	old := traffic(270, 0, fast)
	for name, c := range map[string]struct {
		recent fleet.Traffic
		policy Policy
		want   Decision
	}{
		"more requests": {traffic(30, 0, fast), Policy{Requests: 31}, Undecided},
		"more errors":   {traffic(30, 5, fast), Policy{Errors: 6}, OK},
		"slower":        {traffic(30, 0, slow), Policy{SlowerBy: time.Hour}, OK},
		"slower by":     {traffic(30, 0, slow), Policy{SlowerBy: time.Second}, OK},
	} {
		if v := Judge(old, c.recent, c.policy); v.Decision != c.want {
			t.Errorf("%s: %+v, want %s", name, v, c.want)
		}
	}
}

func drawTraffic(t *rapid.T, name string) fleet.Traffic {
	out := traffic(0, 0, 0)
	for i := range out.Latency {
		if rapid.IntRange(0, 4).Draw(t, name+" bucket used") == 0 {
			out.Latency[i] = rapid.Uint64Range(0, 500).Draw(t, name+" bucket")
			out.Requests += out.Latency[i]
		}
	}
	out.Errors = rapid.Uint64Range(0, out.Requests).Draw(t, name+" errors")
	out.Shielded = rapid.Uint64Range(0, out.Errors).Draw(t, name+" shielded")
	return out
}

func TestJudgeProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		old, recent := drawTraffic(t, "old"), drawTraffic(t, "new")
		judged, settled := Judge(old, recent, Policy{}), Settle(old, recent, Policy{})
		if settled.Decision == Undecided {
			t.Errorf("undecided at the end: %+v", settled)
		}
		if judged.Decision != Undecided && judged != settled {
			t.Errorf("judged %+v, settled %+v", judged, settled)
		}
		if v := Judge(old, old, Policy{}); v.Decision == Refused {
			t.Errorf("a release was refused for being like itself: %+v", v)
		}
		worse := recent
		worse.Errors, worse.Requests = worse.Errors+50, worse.Requests+50
		if v := Settle(old, worse, Policy{}); judged.Decision == Refused && failures(recent) >= 3 && moreErrors(old, recent) && v.Decision != Refused {
			t.Errorf("refused with %+v, accepted with more errors: %+v", judged, v)
		}
		flawless := recent
		flawless.Errors, flawless.Shielded = 0, 0
		if v := Settle(old, flawless, Policy{SlowerBy: time.Hour}); v.Decision != OK {
			t.Errorf("refused without errors or latency: %+v", v)
		}
	})
}

func TestSinceProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		earlier, more := drawTraffic(t, "earlier"), drawTraffic(t, "more")
		got := Since(earlier, plus(earlier, more))
		if got.Requests != more.Requests || got.Errors != more.Errors || got.Shielded != more.Shielded || got.Quantile(0.99) != more.Quantile(0.99) {
			t.Errorf("got %+v, want %+v", got, more)
		}
		restarted := Since(plus(earlier, more), more)
		if restarted.Requests > more.Requests || restarted.Errors > more.Requests {
			t.Errorf("counters begun anew give %+v of %+v", restarted, more)
		}
	})
}

func TestAlive(t *testing.T) {
	t.Parallel()
	release := fleet.Release{Number: 2, Count: 2}
	ready, dead := fleet.Instance{ID: "r", Release: 2, State: fleet.Ready}, fleet.Instance{ID: "d", Release: 2, State: fleet.Dead, Reason: "exit status 1"}
	for name, c := range map[string]struct {
		instances []fleet.Instance
		want      Decision
		reason    string
	}{
		"all ready":         {[]fleet.Instance{ready, ready}, OK, "2 instances"},
		"one missing":       {[]fleet.Instance{ready}, Refused, "1 of 2"},
		"one starting":      {[]fleet.Instance{ready, {Release: 2, State: fleet.Starting}}, Refused, "1 of 2"},
		"one dead":          {[]fleet.Instance{ready, ready, dead}, Refused, "d ended: exit status 1"},
		"another's is dead": {[]fleet.Instance{ready, ready, {Release: 1, State: fleet.Dead}}, OK, ""},
	} {
		if v := Alive(fleet.Fleet{Instances: c.instances}, release); v.Decision != c.want || !strings.Contains(v.Reason, c.reason) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
