// Package masker keeps secrets out of what people and programs read: logs, errors,
// progress, answers of an API.
//
// Its nouns: a Set of secrets, which conceals them in a text; a Writer, which does
// so in a stream, however it is cut into writes. It guarantees: every secret of four
// bytes and more is replaced, in all forms by which programs write it into other
// texts (encoded for URLs, JSON, shells, in base64), and nothing else is changed.
//
// Everybody may import it.
package masker

import "strings"

// Concealed stands where a secret was.
const Concealed = "***"

// Set is secrets, ready to be looked for: an automaton (Aho and Corasick's) says at
// each byte how much of a secret may have begun. It never changes.
type Set struct {
	class [256]int32
	width int32
	next  []int32 // state*width+class -> state
	depth []int32 // of a state: how many bytes are the beginning of a secret
	found []int32 // of a state: length of the longest secret that ends here
}

// New is a set of these secrets, in all their forms.
func New(secrets []string) *Set {
	var patterns []string
	for _, v := range secrets {
		patterns = append(patterns, forms(v)...)
	}
	s := &Set{}
	s.build(patterns)
	return s
}

// String is a text with every secret concealed.
func (m *Set) String(text string) string {
	var b strings.Builder
	w := m.Writer(&b)
	_, _ = w.Write([]byte(text)) // a builder takes everything
	_ = w.Close()
	return b.String()
}

func (m *Set) build(patterns []string) {
	for _, p := range patterns {
		for i := range len(p) {
			if m.class[p[i]] == 0 {
				m.width++
				m.class[p[i]] = m.width
			}
		}
	}
	m.width++ // class 0: bytes of no secret
	m.grow(0)
	for _, p := range patterns {
		at := int32(0)
		for i := range len(p) {
			edge := at*m.width + m.class[p[i]]
			if m.next[edge] == 0 {
				m.next[edge] = m.grow(int32(i + 1))
			}
			at = m.next[edge]
		}
		m.found[at] = int32(len(p))
	}
	m.link()
}

func (m *Set) grow(depth int32) int32 {
	m.next = append(m.next, make([]int32, m.width)...)
	m.depth, m.found = append(m.depth, depth), append(m.found, 0)
	return int32(len(m.depth) - 1)
}

// link adds the edges for when a secret that had begun goes on otherwise:
// breadth first, each state falls back to that of its longest proper suffix.
func (m *Set) link() {
	fallback := make([]int32, len(m.depth))
	queue := []int32{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for c := range m.width {
			to := m.next[at*m.width+c]
			under := int32(0)
			if at != 0 {
				under = m.next[fallback[at]*m.width+c]
			}
			if to == 0 || m.depth[to] != m.depth[at]+1 { // no edge of the trie
				m.next[at*m.width+c] = under
				continue
			}
			fallback[to] = under
			m.found[to] = max(m.found[to], m.found[under])
			queue = append(queue, to)
		}
	}
}
