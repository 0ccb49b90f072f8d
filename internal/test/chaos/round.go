package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"godwit/internal/migrate"
)

// Round is one operation with its faults, and what came of it.
type Round struct {
	Number   int            `json:"number"`
	Command  []string       `json:"command"`
	Faults   []*injury      `json:"faults"`
	Exit     int            `json:"exit"`
	Message  string         `json:"message,omitempty"` // what the command said when it failed
	Took     time.Duration  `json:"took_ns"`
	Settled  time.Duration  `json:"settled_ns"` // from the end of command and faults until all is well
	Truth    migrate.Side   `json:"truth"`
	Excused  int            `json:"excused"`
	Excuses  map[string]int `json:"excuses,omitempty"` // what those said, and how many of them
	Harmed   int            `json:"harmed"`
	Examples []string       `json:"examples,omitempty"`
	Problems []string       `json:"problems,omitempty"`
}

func (r *Round) line(of int) string {
	var faults []string
	for _, f := range r.Faults {
		text := f.Name
		if f.Missed != "" {
			text += " (missed: " + f.Missed + ")"
		} else if f.Step != "" {
			text += " at " + f.Step
		}
		faults = append(faults, text)
	}
	text := fmt.Sprintf("%3d/%d %-18s exit %d %5.1f s, well after %4.1f s, truth %-6s excused %3d harmed %3d | %s",
		r.Number, of, strings.Join(r.Command, " "), r.Exit, r.Took.Seconds(), r.Settled.Seconds(), r.Truth, r.Excused, r.Harmed, strings.Join(faults, "; "))
	for _, p := range append(r.Problems, r.Examples...) {
		text += "\n      " + p
	}
	if r.Exit != 0 {
		text += "\n      said: " + r.Message
	}
	return text
}

// commandTimeout bounds a command: one that does not end is stuck.
const commandTimeout = 2 * time.Minute

// play is one round: draw, do, wait until all is well, judge.
func (c *campaign) play(ctx context.Context, n int) (Round, error) {
	truth, err := c.stage.truth(ctx)
	if err != nil {
		return Round{Number: n}, err
	}
	round := Round{Number: n, Command: c.command(truth)}
	c.stage.load.take()
	drawn := faults(c.Only)
	at := c.draw(&round, drawn)
	begun := time.Now()
	c.operate(ctx, &round, drawn, at)
	round.Took = time.Since(begun)
	for _, f := range round.Faults {
		if problem := f.heal(); problem != "" {
			round.Problems = append(round.Problems, problem)
		}
	}
	done := 0
	for _, f := range round.Faults {
		if f.Missed == "" {
			done++
		}
	}
	c.report.Faults += done
	c.report.Pairs += done / 2
	if c.Calm && round.Exit != 0 {
		round.Problems = append(round.Problems, "nothing was in its way, and it was not done")
	}
	err = c.settle(ctx, &round)
	if ctx.Err() == nil {
		c.judge(&round)
	}
	return round, err
}

// draw draws the faults of a round, and after how many lines of progress each is done.
func (c *campaign) draw(round *Round, from []fault) (at []int) {
	if c.Calm {
		return nil
	}
	count := 1
	if c.random.Float64() < c.Pairs {
		count = 2
	}
	for range count {
		round.Faults = append(round.Faults, &injury{Name: from[c.random.IntN(len(from))].name})
		at = append(at, c.random.IntN(lines(round.Command)))
	}
	if len(at) == 2 && c.random.IntN(2) == 0 {
		at[1] = at[0] // in the same moment
	}
	return at
}

// command draws what is done meanwhile.
func (c *campaign) command(truth migrate.Side) []string {
	turn := []string{"migrate", "cutover", migration}
	if truth == migrate.Target {
		turn = []string{"migrate", "rollback", migration}
	}
	if c.Calm {
		return turn
	}
	switch n := c.random.IntN(20); {
	case n < 13:
		return turn
	case n < 15:
		return []string{"migrate", "verify", migration}
	case n < 17:
		return []string{"deploy", "till", "--env", environment, "--image", c.stage.images["2"]}
	case n < 18:
		return []string{"rollback", "till", "--env", environment}
	}
	return nil // nothing: faults come at any time
}

// lines is about how many lines of progress a command prints.
func lines(command []string) int {
	switch {
	case len(command) == 0:
		return 1
	case command[0] == "migrate" && command[1] != "verify":
		return 24
	case command[0] == "migrate":
		return 3
	}
	return 12
}

// operate runs the command and does each fault when as many lines of progress
// have been shown; what has not come by then is done when the command has ended.
func (c *campaign) operate(ctx context.Context, round *Round, drawn []fault, at []int) {
	once := make([]sync.Once, len(at))
	inject := func(i int, step string) {
		once[i].Do(func() {
			f := round.Faults[i]
			f.At, f.Step = time.Now(), step
			for _, d := range drawn {
				if d.name == f.Name {
					if err := d.do(c.stage, c.random, f); err != nil {
						f.Missed = err.Error()
					}
					return
				}
			}
		})
	}
	if len(round.Command) > 0 {
		shown := 0
		w := &lineWriter{line: func(text string) {
			for i := range at {
				if at[i] == shown {
					inject(i, text)
				}
			}
			shown++
		}}
		round.Exit, round.Message = c.run(ctx, round.Command, w)
	}
	for i := range at {
		inject(i, "")
	}
}

// run is the command, as a user types it.
func (c *campaign) run(ctx context.Context, args []string, progress *lineWriter) (int, string) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var out bytes.Buffer
	cmd := c.stage.godwit.Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, progress
	err := cmd.Run()
	var status *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return -1, fmt.Sprintf("did not end within %v", commandTimeout)
	case errors.As(err, &status):
		return status.ExitCode(), strings.Join(strings.Fields(out.String()), " ")
	case err != nil:
		return -1, err.Error()
	}
	return 0, strings.Join(strings.Fields(out.String()), " ")
}

// lineWriter calls line for each line that is written to it.
type lineWriter struct {
	line func(string)
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.line(strings.Join(strings.Fields(string(line)), " "))
		w.rest = rest
	}
}
