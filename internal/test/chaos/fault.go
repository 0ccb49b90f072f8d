package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"
)

// fault is something that is done to the stage.
type fault struct {
	name string
	do   func(*stage, *rand.Rand, *injury) error
}

// injury is a fault that was done: what, when, and whom it may harm.
type injury struct {
	Name    string    `json:"name"`
	At      time.Time `json:"at"`
	Step    string    `json:"step"`             // the line of progress at which it was done
	Missed  string    `json:"missed,omitempty"` // why it could not be done
	victim  process
	stopped bool
	excuses []excuse
	over    chan struct{} // closed when it has ended by itself; nil: it lasts
}

// excuse is a time within which requests may fail: those in flight then.
type excuse struct{ from, to time.Time }

const (
	// slack is how exactly the campaign knows when something happened.
	slack = 100 * time.Millisecond
	// environmentDown is how long a killed environment may be missed.
	environmentDown = 2 * time.Second
	// replaced is how long a process that hangs may stay.
	replaced = 25 * time.Second
)

// whom are the processes that a fault can hit, and how long clients may notice.
var whom = []struct {
	name   string
	find   func(*stage, *rand.Rand) (process, error)
	missed time.Duration // below 0: nobody may notice at all
}{
	{"engine", role("engine"), -1},
	{"watchdog", role("watch"), -1},
	{"gateway", role("gateway"), 0},
	{"supervisor of production", supervisor("production"), environmentDown},
	{"supervisor of stage", supervisor("stage"), -1},
	{"till of production", child("production", "till"), 0},
	{"menu of production", child("production", "menu"), 0},
	{"Postgres of production", child("production", "postgres"), environmentDown},
	{"Postgres of stage", child("stage", "postgres"), -1},
	{"relay", relay("production"), -1},
}

func role(name string) func(*stage, *rand.Rand) (process, error) {
	return func(s *stage, _ *rand.Rand) (process, error) { return s.role(name) }
}

func supervisor(environment string) func(*stage, *rand.Rand) (process, error) {
	return func(s *stage, _ *rand.Rand) (process, error) { return s.supervisor(environment) }
}

func child(environment, program string) func(*stage, *rand.Rand) (process, error) {
	return func(s *stage, r *rand.Rand) (process, error) { return pick(r)(s.children(environment, program)) }
}

func relay(environment string) func(*stage, *rand.Rand) (process, error) {
	return func(s *stage, r *rand.Rand) (process, error) { return pick(r)(s.relays(environment)) }
}

func pick(r *rand.Rand) func([]process, error) (process, error) {
	return func(all []process, err error) (process, error) {
		if err != nil {
			return process{}, err
		}
		return all[r.IntN(len(all))], nil
	}
}

// faults are all that can be drawn.
func faults(only string) []fault {
	drawn := processFaults()
	drawn = append(drawn, fault{"link lets nothing through", broken(true, false)}, fault{"link is cut", broken(false, true)},
		fault{"disk is full", full})
	var wanted []fault
	for _, f := range drawn {
		if strings.Contains(f.name, only) {
			wanted = append(wanted, f)
		}
	}
	return wanted
}

func processFaults() []fault {
	var drawn []fault
	for _, w := range whom {
		kill := fault{"kill " + w.name, func(s *stage, r *rand.Rand, i *injury) error {
			p, err := w.find(s, r)
			if err != nil {
				return err
			}
			i.victim = p
			if err := p.signal(syscall.SIGKILL); err != nil {
				return err
			}
			death, _ := p.gone(replaced) // on a busy machine not at once, and what is in flight until then is
			i.excuse(death, w.missed)
			return nil
		}}
		stop := fault{"stop " + w.name, func(s *stage, r *rand.Rand, i *injury) error {
			p, err := w.find(s, r)
			if err != nil {
				return err
			}
			i.victim, i.stopped = p, true
			return p.signal(syscall.SIGSTOP)
		}}
		drawn = append(drawn, kill, kill, stop) // kills are what happens
	}
	return drawn
}

func broken(holed, cut bool) func(*stage, *rand.Rand, *injury) error {
	return func(s *stage, r *rand.Rand, i *injury) error {
		lasts := time.Duration(500+r.IntN(6000)) * time.Millisecond
		i.Name += fmt.Sprintf(" for %v", lasts.Round(100*time.Millisecond))
		s.link.set(holed, cut)
		i.ends(lasts, func() { s.link.set(false, false) })
		return nil
	}
}

// full fills the disk of the state directory, on which the environments'
// databases are too: these may stop while it lasts.
func full(s *stage, r *rand.Rand, i *injury) error {
	lasts := time.Duration(1000+r.IntN(3000)) * time.Millisecond
	i.Name += fmt.Sprintf(" for %v", lasts.Round(100*time.Millisecond))
	if err := s.disk.fill(); err != nil {
		return err
	}
	// It has taken a while to fill it: it is full for as long from now on.
	i.excuses = append(i.excuses, excuse{i.At.Add(-slack), time.Now().Add(lasts + environmentDown + slack)})
	i.ends(lasts, s.disk.free)
	return nil
}

func (i *injury) ends(after time.Duration, undo func()) {
	i.over = make(chan struct{})
	time.AfterFunc(after, func() {
		undo()
		close(i.over)
	})
}

func (i *injury) excuse(death time.Time, missed time.Duration) {
	if missed >= 0 {
		i.excuses = append(i.excuses, excuse{i.At.Add(-slack), death.Add(missed + slack)})
	}
}

// heal waits for the end of what ends by itself, and until a stopped process has
// been replaced; the text says what was not.
func (i *injury) heal() string {
	if i.over != nil {
		<-i.over
	}
	if !i.stopped || i.Missed != "" {
		return ""
	}
	death, ok := i.victim.gone(replaced)
	if !ok {
		i.victim.signal(syscall.SIGCONT)
		death = time.Now()
	}
	for _, w := range whom {
		if strings.HasSuffix(i.Name, w.name) {
			i.excuse(death, w.missed)
		}
	}
	if !ok {
		return fmt.Sprintf("%s: it was not replaced within %v", i.Name, replaced)
	}
	return ""
}
