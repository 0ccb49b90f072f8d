package journal

import (
	"errors"
	"fmt"
)

var (
	// ErrOverBudget: Do of a step took longer than its budget.
	ErrOverBudget = errors.New("over budget")
	// ErrInterrupted: the process that ran the list ended in the middle of it.
	ErrInterrupted = errors.New("interrupted: the engine ended while it ran")
	// ErrDifferent: the steps given to Resume are not those written down.
	ErrDifferent = errors.New("steps differ from those in the journal")
	// ErrActive: this journal is running that run already.
	ErrActive = errors.New("run is under way")
	// ErrTaken: another journal works on the run. A Book answers with it, and a
	// context ends with it as its cause; from then on nothing more is done, nothing
	// taken back, and nothing written: that would be done to the other's world.
	ErrTaken = errors.New("another works on the run")
	// ErrInvalid: the list of steps or the run contradicts itself; nothing was done.
	ErrInvalid = errors.New("invalid list of steps")
)

// Failure is why a run is not done. errors.Is and errors.As see its Cause.
type Failure struct {
	Run    Run
	Step   string // that failed first
	Status Status // Undone or Stuck
	Kept   string // a step whose work stays although the list was undone
	Cause  error
}

func (f *Failure) Error() string {
	after := "everything it had done was taken back"
	switch {
	case errors.Is(f.Cause, ErrTaken):
		after = "the other brings it to its end"
	case f.Status == Stuck:
		after = "it is neither done nor undone, and will be resumed"
	case f.Kept != "":
		after = fmt.Sprintf("what step %q has done so far stays", f.Kept)
	}
	return fmt.Sprintf("%s of %s: step %q: %v; %s", f.Run.Kind, f.Run.Subject, f.Step, f.Cause, after)
}

func (f *Failure) Unwrap() error { return f.Cause }

// panicked is a panic of a step, as an error.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// written is a cause as the journal kept it: only its words.
type written string

func (w written) Error() string { return string(w) }
