package tofu

import "fmt"

// Part is one change of an apply, and how far it came.
type Part struct {
	Change
	// Note says what is half-done: "destroyed, and not yet made again".
	Note string `json:"note,omitempty"`
}

// Outcome is what an apply did of what was planned.
type Outcome struct {
	Done []Part `json:"done"`
	Half []Part `json:"half"` // begun, and failed or cut off
	Open []Part `json:"open"` // not begun
}

func (o Outcome) String() string {
	text := fmt.Sprintf("%d done", len(o.Done))
	if len(o.Half)+len(o.Open) > 0 {
		text += fmt.Sprintf(", %d begun and not finished, %d not begun", len(o.Half), len(o.Open))
	}
	return text
}

// tally keeps count of an apply. Methods of a nil tally do nothing.
type tally struct {
	planned []Change
	steps   map[string]*steps
	made    map[string]string // ids of what was created, by address
}

type steps struct {
	begun, ended, failed []Action
}

func newTally(planned []Change) *tally {
	return &tally{planned: planned, steps: map[string]*steps{}, made: map[string]string{}}
}

func (t *tally) of(address string) *steps {
	if t.steps[address] == nil {
		t.steps[address] = &steps{}
	}
	return t.steps[address]
}

func (t *tally) begin(address string, a Action) {
	if t != nil {
		s := t.of(address)
		s.begun = append(s.begun, a)
	}
}

func (t *tally) finish(address string, a Action, id string) {
	if t == nil {
		return
	}
	s := t.of(address)
	s.ended = append(s.ended, a)
	switch a {
	case Create:
		t.made[address] = id
	case Destroy:
		delete(t.made, address)
	}
}

func (t *tally) fail(address string, a Action) {
	if t != nil {
		s := t.of(address)
		s.failed = append(s.failed, a)
	}
}

// outcome compares what was planned with what happened. Whole: the program
// ended well, so what it never spoke of, such as a forgotten resource, is done too.
func (t *tally) outcome(whole bool) Outcome {
	o := Outcome{Done: []Part{}, Half: []Part{}, Open: []Part{}}
	for _, c := range t.planned {
		c.Fields = nil
		s := t.steps[c.Address]
		switch {
		case whole:
			o.Done = append(o.Done, Part{Change: c})
		case s == nil || len(s.begun) == 0:
			o.Open = append(o.Open, Part{Change: c})
		case s.complete(c.Action):
			o.Done = append(o.Done, Part{Change: c})
		default:
			o.Half = append(o.Half, Part{c, s.note(c.Action)})
		}
	}
	return o
}

func (s *steps) complete(a Action) bool {
	need := 1
	if a == Replace {
		need = 2
	}
	return len(s.failed) == 0 && len(s.ended) >= need
}

func (s *steps) note(a Action) string {
	switch {
	case a == Replace && len(s.ended) == 1 && s.ended[0] == Destroy:
		return "destroyed, and not yet made again"
	case a == Replace && len(s.ended) == 1:
		return "made again, and the old one not yet destroyed"
	case len(s.failed) > 0 && s.failed[0] == Create:
		return "not made, or only in part: what is there of it is remembered, and replaced by the next apply"
	case len(s.failed) > 0:
		return "failed"
	}
	return "cut off: what became of it is looked up by the next plan"
}
