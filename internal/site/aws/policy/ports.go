package policy

import "slices"

// span is a range of ports, both ends included.
type span struct{ first, last int }

// ports is a set of ports: spans in order, none touching another.
type ports []span

var everyPort = ports{{0, 65535}}

// and are the ports in both.
func (p ports) and(q ports) ports {
	var all ports
	for _, a := range p {
		for _, b := range q {
			if s := (span{max(a.first, b.first), min(a.last, b.last)}); s.first <= s.last {
				all = append(all, s)
			}
		}
	}
	return all
}

// or are the ports in either.
func (p ports) or(q ports) ports {
	both := slices.Concat(p, q)
	slices.SortFunc(both, func(a, b span) int { return a.first - b.first })
	var all ports
	for _, s := range both {
		if n := len(all); n > 0 && s.first <= all[n-1].last+1 {
			all[n-1].last = max(all[n-1].last, s.last)
		} else {
			all = append(all, s)
		}
	}
	return all
}

// without are the ports that are not in the other.
func (p ports) without(q ports) ports {
	all := p
	for _, cut := range q {
		var left ports
		for _, s := range all {
			if s.first < cut.first {
				left = append(left, span{s.first, min(s.last, cut.first-1)})
			}
			if s.last > cut.last {
				left = append(left, span{max(s.first, cut.last+1), s.last})
			}
		}
		all = left
	}
	return all
}

// holds: every port of the other is in it.
func (p ports) holds(q ports) bool { return len(q.without(p)) == 0 }
