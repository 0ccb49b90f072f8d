package landscape

import (
	"fmt"
	"slices"
	"time"
)

// What a shield does when it is not said.
const (
	standardRate   = 2000
	standardWindow = 5 * time.Minute
	leastRate      = 10 // AWS takes no smaller one
	mostRate       = 2_000_000_000
)

var (
	standardRules = []ShieldRules{RulesCommon, RulesBadInputs, RulesAddresses}
	allRules      = []string{string(RulesCommon), string(RulesBadInputs), string(RulesSQL), string(RulesAddresses), string(RulesAnonymous)}
	windows       = []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}
)

// shield reads the block shield.
func (r *reader) shield(b *body) {
	if r.shielded {
		r.add(b.at, Error, "a second block shield", "keep one in all files together")
		return
	}
	r.shielded = true
	s := Shield{Window: b.duration("window", standardWindow, windows[len(windows)-1])}
	if _, at, given := b.expr("window"); given && !slices.Contains(windows, s.Window) {
		b.must(at, "window", `"1m", "2m", "5m" or "10m"`)
	}
	s.Rate = standardRate
	if _, _, given := b.expr("rate"); given {
		s.Rate, _ = b.number("rate", 0, leastRate, mostRate)
	}
	s.Rules = b.rules()
	s.Limits = b.limits(s.Rate)
	r.landscape.Shield = s
}

// limits reads the tighter rates of a shield whose own rate is whole; 0: it has
// no good one, and there is nothing to compare with.
func (b *body) limits(whole int) []ShieldLimit {
	var all []ShieldLimit
	seen, paths := map[Ref]bool{}, map[string]string{}
	for _, c := range b.children() {
		b.innerName(b, c, seen)
		limit := ShieldLimit{Name: c.name, Path: c.path("path", "")}
		var at place
		if limit.Rate, at = c.number("rate", 0, leastRate, mostRate); whole > 0 && limit.Rate >= whole {
			b.add(at, Error, fmt.Sprintf("rate %d of %s is not below the shield's own %d, which counts these requests too", limit.Rate, c.title, whole),
				"write a lower rate, or remove the limit; a higher one for all paths is rate of the shield")
		}
		if other, doubled := paths[limit.Path]; doubled && limit.Path != "" {
			_, at, _ := c.expr("path")
			b.add(at, Error, fmt.Sprintf("%s has the path %s of limit %s", c.title, quoted(limit.Path), quoted(other)), "keep one of the two")
		} else {
			paths[limit.Path] = c.name
		}
		all = append(all, limit)
	}
	return all
}

func (b *body) rules() []ShieldRules {
	_, at, given := b.expr("rules")
	if !given {
		return slices.Clone(standardRules)
	}
	var all []ShieldRules
	for _, s := range b.texts("rules") {
		switch rule := ShieldRules(s); {
		case !slices.Contains(allRules, s):
			b.must(at, "rules", "a list of "+quotedList(allRules))
		case slices.Contains(all, rule):
			b.add(at, Error, fmt.Sprintf("rules of %s have %s twice", b.title, quoted(s)), "keep one of the two")
		default:
			all = append(all, rule)
		}
	}
	return all
}

// standardShield stands before a landscape that declares none.
func standardShield() Shield {
	return Shield{Rate: standardRate, Window: standardWindow, Rules: slices.Clone(standardRules)}
}
