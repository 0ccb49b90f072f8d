package tofu

import (
	"cmp"
	"slices"
)

// pair is of an element before and the one that it becomes; -1: there is none.
type pair struct{ i, j int }

// matching says which elements of two lists belong together.
type matching struct {
	pairs       []pair
	equal       map[pair]bool // of them, those that do not differ
	left, right map[int]bool  // paired already

	before, after []string // what tells the elements apart, where something does
}

// match pairs the elements of a list with those that they become: the only ones
// of their lists, then those that are equal, then those with the same name; where
// there are no names, those that share most.
func match(n node, before, after int, hide secrets) *matching {
	m := &matching{equal: map[pair]bool{}, left: map[int]bool{}, right: map[int]bool{}}
	m.before, m.after = labels(n, before, after, hide)
	if before == 1 && after == 1 {
		m.add(pair{0, 0})
		return m
	}
	m.takeEqual(n, before, after)
	if m.before == nil {
		m.takeAlike(n, before, after)
		return m
	}
	for i, name := range m.before {
		if j := slices.Index(m.after, name); j >= 0 {
			m.add(pair{i, j})
		}
	}
	return m
}

// add pairs two elements, unless one of them has a partner.
func (m *matching) add(p pair) {
	if m.left[p.i] || m.right[p.j] {
		return
	}
	m.pairs = append(m.pairs, p)
	m.left[p.i], m.right[p.j] = true, true
}

// all is what is gone, then the pairs by where they are, then what is added.
func (m *matching) all(before, after int) []pair {
	var all []pair
	for i := range before {
		if !m.left[i] {
			all = append(all, pair{i, -1})
		}
	}
	all = append(all, slices.SortedFunc(slices.Values(m.pairs), func(a, b pair) int { return cmp.Compare(a.j, b.j) })...)
	for j := range after {
		if !m.right[j] {
			all = append(all, pair{-1, j})
		}
	}
	return all
}

func (m *matching) label(p pair) string {
	switch {
	case m.before == nil:
		return ""
	case p.j >= 0:
		return m.after[p.j]
	}
	return m.before[p.i]
}

// takeEqual pairs equal elements: in the same place, else in the same order, else
// wherever they are.
func (m *matching) takeEqual(n node, before, after int) {
	places := map[string][]int{}
	for i := range before {
		text := canon(at(n.before, i))
		places[text] = append(places[text], i)
	}
	known := func(j int) bool { return !holdsTrue(partAt(n.pending, j)) }
	for j := range after {
		if known(j) && j < before && canon(at(n.before, j)) == canon(at(n.after, j)) {
			m.addEqual(pair{j, j})
		}
	}
	last := -1
	for j := range after {
		if !known(j) || m.right[j] {
			continue
		}
		free := slices.DeleteFunc(slices.Clone(places[canon(at(n.after, j))]), func(i int) bool { return m.left[i] })
		if len(free) == 0 {
			continue
		}
		next := max(0, slices.IndexFunc(free, func(i int) bool { return i > last }))
		last = free[next]
		m.addEqual(pair{last, j})
	}
}

func (m *matching) addEqual(p pair) {
	m.add(p)
	m.equal[p] = true
}

// takeAlike pairs the maps and lists that share most with each other.
func (m *matching) takeAlike(n node, before, after int) {
	type candidate struct {
		pair
		shared int
	}
	left, right := make([]map[string]string, before), make([]map[string]string, after)
	for i := range before {
		left[i] = leaves(at(n.before, i))
	}
	for j := range after {
		right[j] = leaves(at(n.after, j))
	}
	var all []candidate
	for i := range before {
		for j := range after {
			if shared := shares(left[i], right[j]); shared > 0 && !m.left[i] && !m.right[j] {
				all = append(all, candidate{pair{i, j}, shared})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.shared, a.shared), cmp.Compare(apart(a.pair), apart(b.pair)))
	})
	for _, c := range all {
		m.add(c.pair)
	}
}

func apart(p pair) int { return max(p.i-p.j, p.j-p.i) }

// leaves of a map or list, by their paths; a plain value has none.
func leaves(v any) map[string]string {
	found := map[string]string{}
	var walk func(p trail, v any)
	walk = func(p trail, v any) {
		switch v := v.(type) {
		case nil:
		case map[string]any:
			for name, inner := range v {
				walk(p.with(step{name: name}), inner)
			}
		case []any:
			for i, inner := range v {
				walk(p.with(step{element: true, after: i}), inner)
			}
		default:
			found[p.text(nil)] = canon(v)
		}
	}
	if container(v) {
		walk(nil, v)
	}
	return found
}

func shares(a, b map[string]string) int {
	n := 0
	for name, v := range a {
		if other, ok := b[name]; ok && other == v {
			n++
		}
	}
	return n
}

// moved says that elements have changed places. A plan does not tell sets from
// lists; but equal elements of a set keep their order, and others may not: so
// only of what is known to be a list the changed ones count.
func (m *matching) moved(list bool) bool {
	kept := slices.DeleteFunc(slices.Clone(m.pairs), func(p pair) bool { return !list && !m.equal[p] })
	slices.SortFunc(kept, func(a, b pair) int { return cmp.Compare(a.j, b.j) })
	return !slices.IsSortedFunc(kept, func(a, b pair) int { return cmp.Compare(a.i, b.i) })
}

// keys are the attributes by which AWS and its provider tell elements apart.
var keys = []string{"name", "key", "device_name", "Sid", "sid", "id", "ID"}

// labels are what tells the elements of both lists apart; nil where nothing does.
func labels(n node, before, after int, hide secrets) (left, right []string) {
	for _, key := range keys {
		left := labelled(n.before, n.beforeMarks, nil, key, before, hide)
		right := labelled(n.after, n.afterMarks, n.pending, key, after, hide)
		if left != nil && right != nil {
			return left, right
		}
	}
	return nil, nil
}

func labelled(list, marks, pending any, key string, length int, hide secrets) []string {
	labels := []string{}
	for i := range length {
		label, _ := in(at(list, i), key).(string)
		hidden := holdsTrue(part(partAt(marks, i), key)) || part(partAt(pending, i), key) == true || hide.in(label)
		if label == "" || hidden || slices.Contains(labels, label) {
			return nil
		}
		labels = append(labels, label)
	}
	return labels
}
