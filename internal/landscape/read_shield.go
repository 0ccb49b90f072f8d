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
	s.Rate, _ = b.number("rate", standardRate, leastRate, mostRate)
	s.Rules = b.rules()
	seen := map[Ref]bool{}
	for _, c := range b.children() {
		r.innerName(b, c, seen)
		limit := ShieldLimit{Name: c.name, Path: c.path("path", "")}
		limit.Rate, _ = c.number("rate", s.Rate, leastRate, mostRate)
		s.Limits = append(s.Limits, limit)
	}
	r.landscape.Shield = s
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
