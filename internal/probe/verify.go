package probe

import (
	"context"
	"iter"
	"slices"
)

// Ledger is the ledger's entries compared with what is found in the data.
type Ledger struct {
	Acknowledged int `json:"acknowledged"`
	Found        int `json:"found"`      // acknowledged, and there
	Missing      int `json:"missing"`    // acknowledged, and not there
	Duplicated   int `json:"duplicated"` // sent, acknowledged or not, and there more than once
	Unknown      int `json:"unknown"`    // sent and never acknowledged: may be there or not

	MissingKeys    []string `json:"missing_keys,omitempty"`    // the first few
	DuplicatedKeys []string `json:"duplicated_keys,omitempty"` // the first few
}

// Good says whether every acknowledged write is there, and each only once.
func (l Ledger) Good() bool { return l.Missing == 0 && l.Duplicated == 0 }

// Add sums two ledgers, of different writes.
func (l Ledger) Add(other Ledger) Ledger {
	return Ledger{
		Acknowledged:   l.Acknowledged + other.Acknowledged,
		Found:          l.Found + other.Found,
		Missing:        l.Missing + other.Missing,
		Duplicated:     l.Duplicated + other.Duplicated,
		Unknown:        l.Unknown + other.Unknown,
		MissingKeys:    firstFew(l.MissingKeys, other.MissingKeys...),
		DuplicatedKeys: firstFew(l.DuplicatedKeys, other.DuplicatedKeys...),
	}
}

// Named are the entries of the ledger of that name.
func Named(entries []Entry, name string) []Entry {
	var named []Entry
	for _, e := range entries {
		if e.Ledger == name {
			named = append(named, e)
		}
	}
	return named
}

// Verify looks for each entry's key among those found with their occurrences
// (maps.All makes such a sequence of a map; a key may come several times, its
// occurrences add up). Keys that were never sent are somebody else's. The error
// is the context's.
func Verify(ctx context.Context, entries []Entry, found iter.Seq2[string, int64]) (Ledger, error) {
	times := make(map[string]int64, len(entries))
	for _, e := range entries {
		times[e.Key] = 0
	}
	for key, n := range found {
		if err := ctx.Err(); err != nil {
			return Ledger{}, err
		}
		if _, ours := times[key]; ours {
			times[key] += n
		}
	}
	var l Ledger
	for _, e := range entries {
		l.count(e, times[e.Key])
	}
	return l, ctx.Err()
}

func (l *Ledger) count(e Entry, times int64) {
	switch {
	case !e.Acknowledged():
		l.Unknown++
	case times > 0:
		l.Acknowledged++
		l.Found++
	default:
		l.Acknowledged++
		l.Missing++
		l.MissingKeys = firstFew(l.MissingKeys, e.Key)
	}
	if times > 1 {
		l.Duplicated++
		l.DuplicatedKeys = firstFew(l.DuplicatedKeys, e.Key)
	}
}

func firstFew(keys []string, more ...string) []string {
	keys = slices.Concat(keys, more) // never into the other's memory
	return keys[:min(len(keys), maxExamples)]
}
