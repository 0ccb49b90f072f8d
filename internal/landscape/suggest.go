package landscape

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// maxComparisons bounds the work on suggestions for one landscape: a hostile
// file may hold thousands of unknown words and thousands of candidates.
const maxComparisons = 20_000

// suggester finds the word that was probably meant.
type suggester struct{ comparisons int }

// near returns the candidate closest to word, "" when none is close.
func (s *suggester) near(word string, candidates []string) string {
	best, distance := "", min(3, (len(word)+2)/3)+1
	for _, c := range candidates {
		if len(c)-len(word) >= distance || len(word)-len(c) >= distance {
			continue
		}
		if s.comparisons++; s.comparisons > maxComparisons {
			break
		}
		if d := apart(strings.ToLower(word), c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// apart counts the edits between two words; swapped letters are one.
func apart(a, b string) int {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	if a != b && slices.Equal(x, y) {
		return 1
	}
	return levenshtein.Distance(a, b, nil)
}

// mend words a suggestion among the names, which are sorted, or lists them;
// "" when there are none.
func (s *suggester) mend(word string, names []string) string {
	if best := s.near(word, names); best != "" {
		return "did you mean " + quoted(best) + "?"
	}
	const most = 12
	switch {
	case len(names) == 0:
		return ""
	case len(names) > most:
		return "known are " + strings.Join(names[:most], ", ") + ", …"
	case len(names) == 1:
		return "known is " + names[0]
	}
	return "known are " + strings.Join(names, ", ")
}
