package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"godwit/internal/landscape"
)

// look is how often a wait looks again.
const look = 100 * time.Millisecond

// Decision is a person's answer to an approval.
type Decision struct {
	Approved bool      `json:"approved"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
}

// question is an approval that waits.
type question struct {
	Question string    `json:"question"`
	Since    time.Time `json:"since"`
}

func (r *Run) question(u Unit) (q question, asked bool, err error) {
	asked, err = r.load(u, "question.json", &q)
	return q, asked, err
}

// Decide answers the approval that a run waits for. The first answer counts.
func (r *Run) Decide(d Decision) (stage string, err error) {
	for i, s := range r.Pipeline.Stages {
		u := units(r.Pipeline, i)[0]
		done, err := r.stageDone(i)
		if err != nil {
			return "", err
		}
		if done {
			continue
		}
		q, asked, err := r.question(u)
		switch {
		case err != nil:
			return "", err
		case s.Approve == "" || !asked:
			return "", fmt.Errorf("%w: run %s does not wait for an approval: it has reached stage %q", ErrUsage, r.ID, s.Name)
		case s.Timeout > 0 && d.At.After(q.Since.Add(s.Timeout)):
			return "", fmt.Errorf("%w: %q was to be answered within %s; it is asked again by godwit pipeline run --resume %s", ErrUsage, q.Question, s.Timeout, r.ID)
		}
		return s.Name, r.decide(u, d)
	}
	return "", fmt.Errorf("%w: run %s is done", ErrUsage, r.ID)
}

func (r *Run) decide(u Unit, d Decision) error {
	if err := os.MkdirAll(r.unitDir(u), 0o700); err != nil {
		return err
	}
	err := saveFirst(r.unitFile(u, "decision.json"), d)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	before, _, err := r.decision(u)
	if err == nil && before.Approved != d.Approved {
		err = fmt.Errorf("%w: %s has answered already: %s", ErrUsage, before.By, before.word())
	}
	return err
}

func (d Decision) word() string {
	if d.Approved {
		return "approved"
	}
	return "denied"
}

func (r *Run) decision(u Unit) (d Decision, made bool, err error) {
	made, err = r.load(u, "decision.json", &d)
	return d, made, err
}

// approval asks, and waits for an answer from here or elsewhere.
func (r *Run) approval(ctx context.Context, u Unit, s landscape.Stage, d Drive) (Result, error) {
	res, err := r.result(u)
	if err != nil || res.Status != Pending {
		return res, err
	}
	if err := os.MkdirAll(r.unitDir(u), 0o700); err != nil {
		return res, err
	}
	q, asked, err := r.question(u)
	if err == nil && !asked {
		q = question{Question: s.Approve, Since: time.Now()}
		err = save(r.unitFile(u, "question.json"), q)
	}
	if err == nil && d.Approve {
		err = r.decide(u, Decision{Approved: true, By: d.By + ", beforehand", At: time.Now()})
	}
	if err != nil {
		return res, err
	}
	d.Watch(Event{Unit: u, Moment: Asked, Text: q.Question})
	decision, err := r.wait(ctx, u, q, s.Timeout, d)
	if err != nil {
		return res, err
	}
	return r.answered(u, q, s.Timeout, decision)
}

// answered writes down how an approval ended; nil is no answer in time.
func (r *Run) answered(u Unit, q question, limit time.Duration, decision *Decision) (Result, error) {
	res := Result{Unit: u, Status: Done, Started: q.Since, Ended: time.Now(), Approval: decision}
	switch {
	case decision == nil:
		res.Status, res.Reason = Failed, fmt.Sprintf("nobody answered %q within %s", q.Question, limit)
		// Asked again when the run goes on.
		return res, errors.Join(os.Remove(r.unitFile(u, "question.json")), syncDir(r.unitDir(u)))
	case !decision.Approved:
		res.Status, res.Reason = Refused, "denied by "+decision.By
	default:
		res.Reason = "approved by " + decision.By
	}
	return res, save(r.unitFile(u, "result.json"), res)
}

// wait returns the decision, or nil when the time is over.
func (r *Run) wait(ctx context.Context, u Unit, q question, limit time.Duration, d Drive) (*Decision, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, q.Since.Add(limit), errTooLate)
		defer cancel()
	}
	asking, stop := context.WithCancel(ctx)
	answer := make(chan error, 1)
	if d.Ask != nil {
		go func() { answer <- r.ask(asking, u, q, d) }()
	} else {
		answer <- nil
	}
	defer func() { stop(); <-answer }()
	for {
		decision, made, err := r.decision(u)
		switch {
		case err != nil:
			return nil, err
		case made && (limit == 0 || decision.At.Before(q.Since.Add(limit))):
			return &decision, nil
		case context.Cause(ctx) == errTooLate:
			return nil, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case d.Ask == nil && !d.Wait:
			return nil, &Waiting{Run: r.ID, Stage: u.Title, Question: q.Question}
		}
		pause(ctx, look)
	}
}

var errTooLate = errors.New("nobody answered in time")

// ask asks whoever sits here.
func (r *Run) ask(ctx context.Context, u Unit, q question, d Drive) error {
	approved, answered := d.Ask(ctx, q.Question)
	if !answered || ctx.Err() != nil {
		return nil
	}
	return r.decide(u, Decision{Approved: approved, By: d.By, At: time.Now()})
}
