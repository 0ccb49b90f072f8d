package masker

import (
	"bytes"
	"io"
	"slices"
)

// Writer passes bytes on with every secret concealed, however they are cut into
// writes: what may be the beginning of one is held back.
type Writer struct {
	to     io.Writer
	set    *Set
	state  int32
	held   []byte // not passed on yet
	cover  []bool // per byte of held
	inside bool   // the last byte passed on was part of a secret
	out    bytes.Buffer
}

// Writer conceals what is written to it on its way to another. Close passes on
// what is held back, and leaves the other open.
func (m *Set) Writer(to io.Writer) *Writer { return &Writer{to: to, set: m} }

// Write passes on what is certain.
func (m *Writer) Write(p []byte) (int, error) {
	for i := 0; i < len(p); i++ {
		if m.state == 0 && len(m.held) == 0 { // most of the time
			j := i
			for j < len(p) && m.set.next[m.set.class[p[j]]] == 0 {
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

func (m *Writer) step(b byte) {
	m.state = m.set.next[m.state*m.set.width+m.set.class[b]]
	m.held, m.cover = append(m.held, b), append(m.cover, false)
	for i := len(m.cover) - int(m.set.found[m.state]); i < len(m.cover); i++ {
		m.cover[i] = true
	}
	m.release(len(m.held) - int(m.set.depth[m.state]))
}

// release passes on the first n bytes that are held.
func (m *Writer) release(n int) {
	for i := range n {
		switch {
		case !m.cover[i]:
			m.out.WriteByte(m.held[i])
		case !m.inside:
			m.out.WriteString(Concealed)
		}
		m.inside = m.cover[i]
	}
	m.held, m.cover = slices.Delete(m.held, 0, n), slices.Delete(m.cover, 0, n)
}

func (m *Writer) flush() error {
	_, err := m.to.Write(m.out.Bytes())
	m.out.Reset()
	return err
}

// Close passes on what was held back: it has turned out to be no secret.
func (m *Writer) Close() error {
	m.release(len(m.held))
	m.state = 0
	return m.flush()
}
