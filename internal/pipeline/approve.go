package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"godwit/internal/landscape"
)

// look is how often a wait looks again.
const look = 100 * time.Millisecond

// standardValid is how long an approval counts that was asked for by an older godwit.
const standardValid = 24 * time.Hour

// question is an approval that waits.
type question struct {
	Question string    `json:"question"`
	Since    time.Time `json:"since"`
	Subject  Subject   `json:"subject"`
}

func (r *Run) question(u Unit) (q question, asked bool, err error) {
	asked, err = r.load(u, "question.json", &q)
	return q, asked, err
}

// Decide answers the approval that a run waits for, and says what it is about. The
// first answer of a person counts.
func (r *Run) Decide(d Decision) (stage string, about Subject, err error) {
	for i, s := range r.Pipeline.Stages {
		u := units(r.Pipeline, i)[0]
		done, err := r.stageDone(i)
		if err != nil {
			return "", about, err
		}
		if done {
			continue
		}
		q, asked, err := r.question(u)
		switch {
		case err != nil:
			return "", about, err
		case s.Approve == "" || !asked:
			return "", about, fmt.Errorf("%w: run %s does not wait for an approval: it has reached stage %q", ErrUsage, r.ID, s.Name)
		case s.Timeout > 0 && d.At.After(q.Since.Add(s.Timeout)):
			return "", about, fmt.Errorf("%w: %q was to be answered within %s; it is asked again by godwit pipeline run --resume %s", ErrUsage, q.Question, s.Timeout, r.ID)
		}
		return s.Name, q.Subject, r.decide(u, s, q, d)
	}
	return "", about, fmt.Errorf("%w: run %s is done", ErrUsage, r.ID)
}

// approval asks, and waits for an answer from here or elsewhere.
func (r *Run) approval(ctx context.Context, u Unit, s landscape.Stage, d Drive) (Result, error) {
	about, err := r.subject(ctx, d)
	if err != nil {
		return Result{}, err
	}
	res, why, err := r.standing(u, s, about)
	if err != nil || res.Status != Pending {
		return res, err
	}
	if err := os.MkdirAll(r.unitDir(u), 0o700); err != nil {
		return res, err
	}
	q, asked, err := r.question(u)
	if err == nil && !asked {
		q = question{Question: s.Approve, Since: time.Now(), Subject: about}
		err = save(r.unitFile(u, "question.json"), q)
	}
	if err == nil && d.Approve {
		beforehand := Decide(true, d.By, time.Now())
		beforehand.By += ", beforehand"
		err = r.decide(u, s, q, beforehand)
	}
	if err != nil {
		return res, err
	}
	d.Watch(Event{Unit: u, Moment: Asked, Text: strings.TrimPrefix(why+": "+q.Question, ": ")})
	made, err := r.wait(ctx, u, s, q, d)
	if err != nil {
		return res, err
	}
	return r.answered(u, s, q, made)
}

// standing is an approval as it counts now. What does not count any more is put
// aside, with the reason, and asked for again.
func (r *Run) standing(u Unit, s landscape.Stage, about Subject) (res Result, why string, err error) {
	if res, err = r.result(u); err != nil || res.Status == Refused {
		return res, "", err
	}
	q, asked, err := r.question(u)
	if err != nil || !asked {
		return res, "", err
	}
	if res.Status == Done {
		over, err := r.doneAfter(u.Stage)
		if err != nil || over {
			return res, "", err
		}
		why = void(s, q, res.Approvals, about, time.Now())
	} else if changed := q.Subject.changed(about); changed != "" {
		why = "what is asked about has changed: " + changed
	}
	if why == "" {
		return res, "", nil
	}
	return Result{Unit: u, Status: Pending}, why, r.withdraw(u, q, why)
}

// doneAfter says that nothing is left that needs an approval.
func (r *Run) doneAfter(stage int) (bool, error) {
	for i := stage + 1; i < len(r.Pipeline.Stages); i++ {
		if done, err := r.stageDone(i); err != nil || !done {
			return false, err
		}
	}
	return true, nil
}

// void says why an approval that was given does not count; "" when it does.
func void(s landscape.Stage, q question, given []Decision, about Subject, now time.Time) string {
	if changed := q.Subject.changed(about); changed != "" {
		return fmt.Sprintf("%s approved something else: %s", names(given), changed)
	}
	for _, d := range given {
		if until := d.At.Add(cmp.Or(s.Valid, standardValid)); now.After(until) {
			return fmt.Sprintf("the approval of %s ended at %s", d.By, until.Format(time.DateTime))
		}
	}
	return ""
}

// withdraw puts a question with its answers aside. Who answered, and when, is kept.
func (r *Run) withdraw(u Unit, q question, why string) error {
	made, err := r.decisions(u)
	if err != nil {
		return err
	}
	record := struct {
		Why       string     `json:"why"`
		At        time.Time  `json:"at"`
		Question  question   `json:"question"`
		Decisions []Decision `json:"decisions,omitempty"`
	}{why, time.Now(), q, made}
	if err := save(r.unitFile(u, fmt.Sprintf("withdrawn-%d.json", record.At.UnixNano())), record); err != nil {
		return err
	}
	// The question last: as long as it is there, a crash in between is mended by doing this again.
	files := []string{"result.json"}
	for _, d := range made {
		files = append(files, decisionFile(d.Person))
	}
	for _, name := range append(files, "question.json") {
		if err := os.Remove(r.unitFile(u, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(r.unitDir(u))
}

// answered writes down how an approval ended; none made is no answer in time.
func (r *Run) answered(u Unit, s landscape.Stage, q question, made []Decision) (Result, error) {
	res := Result{Unit: u, Status: Done, Started: q.Since, Ended: time.Now(), Approvals: made}
	denied := slices.IndexFunc(made, func(d Decision) bool { return !d.Approved })
	switch {
	case len(made) == 0:
		res.Status, res.Reason = Failed, fmt.Sprintf("nobody answered %q within %s", q.Question, s.Timeout)
		// Asked again when the run goes on.
		return res, r.withdraw(u, q, res.Reason)
	case denied >= 0:
		res.Status, res.Reason = Refused, "denied by "+made[denied].By
	default:
		res.Reason = "approved by " + names(made)
	}
	return res, save(r.unitFile(u, "result.json"), res)
}

// wait returns the answers that settle it, or none when the time is over.
func (r *Run) wait(ctx context.Context, u Unit, s landscape.Stage, q question, d Drive) ([]Decision, error) {
	limit := s.Timeout
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, q.Since.Add(limit), errTooLate)
		defer cancel()
	}
	asking, stop := context.WithCancel(ctx)
	answer := make(chan error, 1)
	if d.Ask != nil {
		go func() { answer <- r.ask(asking, u, s, q, d) }()
	} else {
		answer <- nil
	}
	defer func() { stop(); <-answer }()
	for {
		settled, err := r.settled(u, s, q)
		switch {
		case err != nil:
			return nil, err
		case settled != nil:
			return settled, nil
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
func (r *Run) ask(ctx context.Context, u Unit, s landscape.Stage, q question, d Drive) error {
	approved, answered := d.Ask(ctx, q.Question)
	if !answered || ctx.Err() != nil {
		return nil
	}
	return r.decide(u, s, q, Decide(approved, d.By, time.Now()))
}

// approved refuses to begin a stage after an approval that does not count any more.
func (r *Run) approved(ctx context.Context, i int, d Drive) error {
	if done, err := r.begun(i); err != nil || done {
		return err
	}
	for before := range i {
		s := r.Pipeline.Stages[before]
		if s.Approve == "" {
			continue
		}
		u := units(r.Pipeline, before)[0]
		res, err := r.result(u)
		if err != nil {
			return err
		}
		q, _, err := r.question(u)
		if err != nil {
			return err
		}
		about, err := r.subject(ctx, d)
		if err != nil {
			return err
		}
		if !usesSource(r.Pipeline.Stages[i]) {
			about.Source = q.Subject.Source
		}
		if why := void(s, q, res.Approvals, about, time.Now()); why != "" {
			return &Failure{Run: r.ID, Stage: r.Pipeline.Stages[i].Name, Refused: true, Units: []Result{{
				Unit: Unit{Stage: i, Title: r.Pipeline.Stages[i].Name}, Status: Refused, Reason: why + "; it is asked again"}}}
		}
	}
	return nil
}

// begun says that a stage is done, or that a worker is at it: it is attached to.
func (r *Run) begun(i int) (bool, error) {
	for _, u := range units(r.Pipeline, i) {
		if holder(r.unitFile(u, "lock")) != 0 {
			return true, nil
		}
	}
	return r.stageDone(i)
}

// answer takes an answer that was given elsewhere, to what is the question now.
func (r *Run) answer(ctx context.Context, u Unit, given Decision, d Drive) error {
	s := r.Pipeline.Stages[u.Stage]
	about, err := r.subject(ctx, d)
	if err != nil {
		return err
	}
	res, _, err := r.standing(u, s, about)
	if err != nil || res.finished() {
		return err
	}
	q, asked, err := r.question(u)
	if err == nil && !asked {
		q = question{Question: s.Approve, Since: time.Now(), Subject: about}
		err = errors.Join(os.MkdirAll(r.unitDir(u), 0o700), save(r.unitFile(u, "question.json"), q))
	}
	if err != nil {
		return err
	}
	return r.decide(u, s, q, given)
}
