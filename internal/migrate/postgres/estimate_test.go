package postgres

import (
	"testing"
	"time"
)

// TestEstimate: tables that are copied count whole, those under way by what has come of
// them and never for more than they are; the time that is left follows the rate, and is
// not said before there is one.
func TestEstimate(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	e := estimate{sizes: map[string]int64{"a": 600, "b": 300, "c": 100}, total: 1000}
	for _, look := range []struct {
		after   time.Duration
		open    []string
		current []TableCopy
		done    int64
		left    time.Duration
	}{
		{0, []string{"a", "b", "c"}, nil, 0, 0},
		{2 * time.Second, []string{"a", "b"}, []TableCopy{{Table: "a", Bytes: 50}}, 150, 0},
		{10 * time.Second, []string{"a", "b"}, []TableCopy{{Table: "a", Bytes: 100}, {Table: "b", Bytes: 9000}}, 500, 10 * time.Second},
		{20 * time.Second, []string{"a"}, []TableCopy{{Table: "unknown", Bytes: 100}}, 400, 30 * time.Second},
		{30 * time.Second, nil, nil, 1000, 0},
	} {
		now := began.Add(look.after)
		e.note(look.open, look.current, now)
		if e.done != look.done || e.left(now) != look.left {
			t.Errorf("after %v: %d done, %v left; want %d, %v", look.after, e.done, e.left(now), look.done, look.left)
		}
	}
}
