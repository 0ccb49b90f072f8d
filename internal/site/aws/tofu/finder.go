package tofu

import "slices"

// finder gathers the leaves in which a resource differs.
//
// It is no general difference of two documents: a plan has marks for what is
// secret and what is unknown beside its values, and does not say which of its
// lists are sets. So what is equal in two lists belongs together wherever it
// stands, then what has the same name, then what is most alike.
type finder struct {
	hide    secrets
	forcing [][]any
	fields  []Field

	document bool // inside a JSON document: its lists are no sets
	policy   bool // … that is a policy of AWS's: one value is a list of one, and order says nothing
}

// find writes down in which leaves a node differs.
func (f *finder) find(p trail, n node) {
	if n.pending != true && !holdsTrue(n.pending) && equal(n.before, n.after) {
		return
	}
	if n.pending == true || n.secret() {
		f.leaf(p, n)
		return
	}
	if f.policy {
		if n = n.listed(); equal(n.before, n.after) {
			return
		}
	}
	found := len(f.fields)
	switch {
	case alike[map[string]any](n):
		for _, name := range n.names() {
			if inner := n.field(name); n.both() || holdsTrue(inner.pending) || has(inner.before) || has(inner.after) {
				f.find(p.with(step{name: name}), inner)
			}
		}
	case alike[[]any](n):
		f.elements(p, n)
	case f.documents(p, n):
		return
	case n.both() && !flat(n): // one kind of value instead of another
		f.find(p, node{before: n.before, beforeMarks: n.beforeMarks})
		f.find(p, node{after: n.after, afterMarks: n.afterMarks, pending: n.pending})
		return
	default:
		f.leaf(p, n)
		return
	}
	// Nothing in it has a value: that it is there is what differs.
	if len(f.fields) == found && !n.both() {
		f.leaf(p, n)
	}
}

// alike: both sides are of a type, or one is and the other is not there.
func alike[T any](n node) bool {
	_, before := n.before.(T)
	_, after := n.after.(T)
	_, pending := n.pending.(T)
	return (before || n.before == nil) && (after || n.after == nil) && (before || after || pending)
}

// listed makes one value a list of one where the other side has a list.
func (n node) listed() node {
	_, before := n.before.([]any)
	_, after := n.after.([]any)
	if before == after || n.before == nil || n.after == nil {
		return n
	}
	if before {
		n.after = []any{n.after}
	} else {
		n.before = []any{n.before}
	}
	return n
}

// elements of two lists: pairs differ within, the others are added or gone.
func (f *finder) elements(p trail, n node) {
	before, _ := n.before.([]any)
	after, _ := n.after.([]any)
	length := max(len(after), listLen(n.pending))
	if len(before) == 0 && length == 0 {
		return
	}
	m := match(n, len(before), length, f.hide)
	for _, e := range m.all(len(before), length) {
		inner := n.element(e.i, e.j)
		s := step{element: true, before: e.i, after: e.j, single: len(before) <= 1 && length <= 1, plain: flat(inner), label: m.label(e)}
		f.element(p.with(s), inner, e)
	}
	if !f.policy && m.moved(f.document) {
		f.add(p, Field{Note: reordered})
	}
}

// element: that there is one at all may be all there is to say of it.
func (f *finder) element(p trail, n node, e pair) {
	found := len(f.fields)
	f.find(p, n)
	if len(f.fields) > found || e.i >= 0 && e.j >= 0 {
		return
	}
	// null in a list is an element too
	if e.i >= 0 {
		f.add(p, Field{Before: "null"})
	} else {
		f.add(p, Field{After: "null"})
	}
}

func listLen(v any) int {
	list, _ := v.([]any)
	return len(list)
}

func flat(n node) bool { return !container(n.before) && !container(n.after) }

// documents compares two JSON documents by what they say; false: they are none.
func (f *finder) documents(p trail, n node) bool {
	before, one := parsed(n.before)
	after, two := parsed(n.after)
	if f.document || !one || !two || f.hide.named(p) {
		return false
	}
	found := len(f.fields)
	f.document, f.policy = true, isPolicy(before) || isPolicy(after)
	f.find(p, node{before: before, after: after})
	f.document, f.policy = false, false
	if len(f.fields) == found {
		f.add(p, Field{Note: rewritten})
	}
	return true
}

// leaf writes down a value that differs, or all of it where no part can be shown.
func (f *finder) leaf(p trail, n node) {
	w := writer{hide: f.hide, named: f.hide.named(p)}
	before := w.text(n.before, n.beforeMarks)
	after := w.text(n.after, n.afterMarks)
	if n.pending == true {
		after.raw, after.fixed = "", unknown
	}
	f.add(p, Field{Before: before.cut(after), After: after.cut(before)})
}

func (f *finder) add(p trail, field Field) {
	field.Path = p.text(f.hide)
	field.Forces = slices.ContainsFunc(f.forcing, p.on)
	f.fields = append(f.fields, field)
}
