package journal

import "time"

// Moment is what an Event tells of.
type Moment string

const (
	StepBegun   Moment = "begun"   // Do is about to be called
	StepDone    Moment = "done"    // Do has succeeded
	StepFailed  Moment = "failed"  // Do has failed; after the point of no return it is tried again
	StepUndoing Moment = "undoing" // Undo is about to be called
	StepUndone  Moment = "undone"  // Undo has succeeded
)

// Event is progress of a run, for people who wait.
type Event struct {
	Run      string        `json:"run"` // its id
	Step     string        `json:"step"`
	Position int           `json:"position"` // 0 is the first step
	Steps    int           `json:"steps"`
	Moment   Moment        `json:"moment"`
	At       time.Time     `json:"at"`
	Elapsed  time.Duration `json:"elapsed,omitempty"` // of the Do or the Undo that has ended
	Error    string        `json:"error,omitempty"`
}

// observer tells of one run.
type observer struct {
	run   string
	names []string
	call  func(Event)
}

func (o observer) tell(position int, moment Moment, elapsed time.Duration, err error) {
	if o.call == nil {
		return
	}
	e := Event{Run: o.run, Step: o.names[position], Position: position, Steps: len(o.names),
		Moment: moment, At: time.Now(), Elapsed: elapsed}
	if err != nil {
		e.Error = err.Error()
	}
	o.call(e)
}
