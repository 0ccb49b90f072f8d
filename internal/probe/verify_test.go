package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	now := time.Now()
	entries := []Entry{{Key: "a", Acked: now}, {Key: "b", Acked: now}, {Key: "c", Acked: now}, {Key: "d"}, {Key: "e"}, {Key: "f"}}
	l, err := Verify(t.Context(), entries, maps.All(map[string]int64{"a": 1, "b": 2, "d": 1, "e": 3, "other": 5}))
	want := Ledger{Acknowledged: 3, Found: 2, Missing: 1, Duplicated: 2, Unknown: 3, MissingKeys: []string{"c"}, DuplicatedKeys: []string{"b", "e"}}
	if err != nil || fmt.Sprint(l) != fmt.Sprint(want) || l.Good() {
		t.Errorf("%+v, %v", l, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, entries, maps.All(map[string]int64{"a": 1})); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// What is said of the data is what was done to it.
func TestVerifyProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var entries []Entry
		found := map[string]int64{}
		var want Ledger
		for i := range rapid.IntRange(0, 40).Draw(t, "writes") {
			e := Entry{Key: fmt.Sprint("k", i)}
			n := rapid.Int64Range(0, 3).Draw(t, "times")
			if n > 0 {
				found[e.Key] = n
			}
			if n > 1 {
				want.Duplicated++
			}
			if rapid.Bool().Draw(t, "acked") {
				e.Acked = time.Unix(1, 0)
				want.Acknowledged++
				want.Missing += int(max(0, 1-n))
				want.Found += int(min(n, 1))
			} else {
				want.Unknown++
			}
			entries = append(entries, e)
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "others") {
			found[fmt.Sprint("other", i)] = 2
		}
		got, err := Verify(context.Background(), entries, maps.All(found))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.MissingKeys) != min(got.Missing, maxExamples) || len(got.DuplicatedKeys) != min(got.Duplicated, maxExamples) {
			t.Fatalf("keys: %+v", got)
		}
		got.MissingKeys, got.DuplicatedKeys = nil, nil
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestReadLedger(t *testing.T) {
	t.Parallel()
	const sent = `{"event":"sent","key":"a","at":"2026-01-02T03:04:05Z","request":"order","ledger":"orders"}` + "\n"
	const acked = `{"event":"acked","key":"a","at":"2026-01-02T03:04:06Z"}` + "\n"
	for text, want := range map[string]int{
		"":                            0,
		sent:                          1,
		sent + acked:                  1,
		sent + acked[:20]:             1, // torn by a kill
		sent + sent:                   -1,
		acked:                         -1,
		sent + "rubbish\n" + acked:    -1,
		"{}\n":                        -1,
		sent + `{"event":"x"}` + "\n": -1,
	} {
		entries, err := ReadLedger(strings.NewReader(text))
		if errors.Is(err, ErrLedger) != (want < 0) || (want >= 0 && len(entries) != want) {
			t.Errorf("%q: %d entries, %v", text, len(entries), err)
		}
	}
}
