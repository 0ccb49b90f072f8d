package landscape

import (
	"fmt"
	"strings"
)

// checkCycles reports services that need each other in a circle: none of them
// could be started first.
func (r *reader) checkCycles() {
	w := walk{reader: r, index: map[string]int{}, state: make([]walkState, len(r.services))}
	for i, s := range r.services {
		if _, doubled := w.index[s.Name]; !doubled {
			w.index[s.Name] = i
		}
	}
	for i := range r.services {
		w.visit(i)
	}
}

type walkState byte

const (
	unseen walkState = iota
	onPath
	done
)

// walk is a depth-first search along needs. It goes as deep as the longest
// chain of services, which a file's size bounds.
type walk struct {
	*reader
	index map[string]int
	state []walkState
	path  []int
}

func (w *walk) visit(i int) {
	if w.state[i] != unseen {
		return
	}
	w.state[i] = onPath
	w.path = append(w.path, i)
	for n, need := range w.services[i].Needs {
		j, known := w.index[need.Name]
		if need.Kind != kindService || !known {
			continue
		}
		if w.state[j] == onPath {
			w.add(w.services[i].needsAt[n], Error, "services need each other in a circle: "+w.circle(j), "remove one of these needs")
			continue
		}
		w.visit(j)
	}
	w.path = w.path[:len(w.path)-1]
	w.state[i] = done
}

// circle words the path from service j back to itself; the middle of a long one
// is left out.
func (w *walk) circle(j int) string {
	const most = 8
	var names []string
	for k := len(w.path) - 1; k >= 0; k-- {
		if len(names) < most || w.path[k] == j {
			names = append([]string{w.services[w.path[k]].Name}, names...)
		} else if names[0] != "…" {
			names = append([]string{"…"}, names...)
		}
		if w.path[k] == j {
			break
		}
	}
	return fmt.Sprintf("%s -> %s", strings.Join(names, " -> "), w.services[j].Name)
}
