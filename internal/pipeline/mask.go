package pipeline

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

const (
	masked = "***"
	// shortestSecret: what is shorter would mask half of every text, and tell itself by that.
	shortestSecret = 4
	// shortestLine of a secret with several lines that is masked by itself.
	shortestLine = 8
	// longestForms bounds the secrets that are also looked for in other forms.
	longestForms = 8 << 10
)

// forms are the texts by which a secret's value may show itself.
func forms(value string) []string {
	value = strings.Trim(value, " \t\r\n")
	if len(value) < shortestSecret {
		return nil
	}
	all := []string{value}
	if lines := strings.Split(strings.ReplaceAll(value, "\r\n", "\n"), "\n"); len(lines) > 1 {
		all = append(all, strings.Join(lines, "\n"), strings.Join(lines, "\r\n"))
		for _, line := range lines {
			if line = strings.TrimSpace(line); len(line) >= shortestLine {
				all = append(all, line)
			}
		}
	}
	if len(value) <= longestForms {
		all = append(all, otherForms(value)...)
	}
	if u, err := url.Parse(value); err == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && len(password) >= shortestSecret {
			all = append(all, password)
			all = append(all, otherForms(password)...)
		}
		if _, raw, ok := strings.Cut(rawUser(value), ":"); ok && len(raw) >= shortestSecret {
			all = append(all, raw)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// otherForms are a value as programs write it into other texts.
func otherForms(value string) []string {
	inner := func(quoted string) string { return strings.TrimSuffix(strings.TrimPrefix(quoted, `"`), `"`) }
	all := []string{url.QueryEscape(value), url.PathEscape(value), inner(fmt.Sprintf("%q", value)), strings.ReplaceAll(value, "'", `'\''`),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
		base64.StdEncoding.EncodeToString([]byte(value + "\n"))}
	if text, err := json.Marshal(value); err == nil {
		all = append(all, inner(string(text)))
	}
	return all
}

// rawUser is user:password of a URL as it is written.
func rawUser(value string) string {
	_, rest, _ := strings.Cut(value, "://")
	end := strings.LastIndexByte(rest, '@')
	return rest[:max(end, 0)]
}

// masker passes bytes on with every secret replaced, however they are cut into
// writes: an automaton (Aho and Corasick's) says at each byte how much of a
// secret may have begun, and that much is held back.
type masker struct {
	to     io.Writer
	class  [256]int32
	width  int32
	next   []int32 // state*width+class -> state
	depth  []int32 // of a state: how many bytes are the beginning of a secret
	found  []int32 // of a state: length of the longest secret that ends here
	state  int32
	held   []byte // not passed on yet
	cover  []bool // per byte of held
	inside bool   // the last byte passed on was part of a secret
	out    bytes.Buffer
}

// newMasker hides values, in all their forms, from what is written to it.
func newMasker(to io.Writer, values []string) *masker {
	var patterns []string
	for _, v := range values {
		patterns = append(patterns, forms(v)...)
	}
	m := &masker{to: to}
	m.build(patterns)
	return m
}

func (m *masker) build(patterns []string) {
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

func (m *masker) grow(depth int32) int32 {
	m.next = append(m.next, make([]int32, m.width)...)
	m.depth, m.found = append(m.depth, depth), append(m.found, 0)
	return int32(len(m.depth) - 1)
}

// link adds the edges for when a secret that had begun goes on otherwise:
// breadth first, each state falls back to that of its longest proper suffix.
func (m *masker) link() {
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

// Write passes on what is certain.
func (m *masker) Write(p []byte) (int, error) {
	for i := 0; i < len(p); i++ {
		if m.state == 0 && len(m.held) == 0 { // most of the time
			j := i
			for j < len(p) && m.next[m.class[p[j]]] == 0 {
				j++
			}
			if j > i {
				m.out.Write(p[i:j])
				m.inside = false
			}
			if i = j; i == len(p) {
				break
			}
		}
		m.step(p[i])
	}
	return len(p), m.flush()
}

func (m *masker) step(b byte) {
	m.state = m.next[m.state*m.width+m.class[b]]
	m.held, m.cover = append(m.held, b), append(m.cover, false)
	for i := len(m.cover) - int(m.found[m.state]); i < len(m.cover); i++ {
		m.cover[i] = true
	}
	m.release(len(m.held) - int(m.depth[m.state]))
}

// release passes on the first n bytes that are held.
func (m *masker) release(n int) {
	for i := range n {
		switch {
		case !m.cover[i]:
			m.out.WriteByte(m.held[i])
		case !m.inside:
			m.out.WriteString(masked)
		}
		m.inside = m.cover[i]
	}
	m.held, m.cover = slices.Delete(m.held, 0, n), slices.Delete(m.cover, 0, n)
}

func (m *masker) flush() error {
	_, err := m.to.Write(m.out.Bytes())
	m.out.Reset()
	return err
}

// Close passes on what was held back: it has turned out to be no secret.
func (m *masker) Close() error {
	m.release(len(m.held))
	m.state = 0
	return m.flush()
}
