package journal

import "maps"

// Notes are what the steps of a run tell each other and a restarted engine:
// small strings by name, written down together with the result of the step
// that set them.
type Notes struct {
	values map[string]string
}

// Get returns the note of that name, "" when there is none.
func (n *Notes) Get(name string) string { return n.values[name] }

// Set writes a note.
func (n *Notes) Set(name, value string) {
	if n.values == nil {
		n.values = map[string]string{}
	}
	n.values[name] = value
}

// all returns a copy of the notes, as they are written down.
func (n *Notes) all() map[string]string { return maps.Clone(n.values) }
