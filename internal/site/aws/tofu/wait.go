package tofu

import (
	"context"
	"fmt"
	"os"
	"time"

	"godwit/internal/site/aws/terraform"
)

// status is how a run ended.
type status struct {
	exit    error // of the process; nil when another godwit began it, for only that would know
	read    error // of reading the log
	stopped bool  // it was asked to stop
}

// wait calls read now and then until the program has ended, and once more. When
// the context ends it asks the program to stop, and then goes on waiting: the
// program has a state to save.
func (d *Driver) wait(ctx context.Context, w *run, hurry <-chan struct{}, read func() error) status {
	var s status
	stop := ctx.Done()
	harder := (<-chan struct{})(nil) // not before it was asked kindly
	requests := 0
	var force <-chan time.Time
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case s.exit = <-w.ended:
			s.read = firstError(s.read, read())
			return s
		case <-ticker.C:
			gone := w.ended == nil && !w.alive()
			s.read = firstError(s.read, read())
			if gone {
				return s
			}
		case <-stop:
			stop, harder, s.stopped = nil, hurry, true
			requests = d.request(w, requests)
		case _, open := <-harder:
			if requests = d.request(w, requests); !open || requests > 2 {
				harder = nil
			}
			if force == nil {
				timer := time.NewTimer(lastWait)
				defer timer.Stop()
				force = timer.C
			}
		case <-force:
			force = nil
			d.tell(Event{Kind: Stopping, Text: d.Program.Name + " does not stop: it is killed"})
			killAll(w.process)
		}
	}
}

var requested = []string{
	" was asked to stop: it finishes what is under way and saves the state; once more stops it without waiting",
	" was asked to stop at once: what is under way may be missing in the state",
	" is killed",
}

// request asks once more, and harder than before.
func (d *Driver) request(w *run, before int) int {
	if w.process == nil || before >= len(requested) {
		return before
	}
	d.tell(Event{Kind: Stopping, Text: d.Program.Name + requested[before]})
	if before == 2 {
		killAll(w.process)
		return 3
	}
	_ = w.process.Signal(os.Interrupt) // an error: it has just ended
	return before + 1
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// replay reads the log of a run that is over, for what it did.
func (w *run) replay(d *Driver) *watcher {
	silent := *d
	silent.Progress = nil
	watch := newWatcher(&silent, newTally(w.Saved.Summary.Changes()))
	if b, err := w.Root.read(runLog); err == nil {
		_, _ = watch.Write(b)
	}
	return watch
}

// remember says in a new plan what a run did that was cut off. The program
// writes its state down every 20 seconds only: what it made in the last of them
// is there and in no state, and the plan would make it a second time.
func (w *run) remember(d *Driver, s *Summary) {
	watch := w.replay(d)
	s.Note = fmt.Sprintf("An apply of %s was cut off (%s). This plan goes on from what the state says.",
		w.Since.Format(time.RFC3339), watch.tally.outcome(watch.complete))
	for _, c := range s.Create {
		if id := watch.tally.made[c.Address]; id != "" && c.Address != terraform.ProtectionMark { // the mark is nowhere but in the state
			s.Lost = append(s.Lost, Lost{Address: c.Address, Type: c.Type, ID: id})
		}
	}
}
