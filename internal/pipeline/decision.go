package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"godwit/internal/landscape"
)

// ErrForbidden: this person may not give this approval.
var ErrForbidden = errors.New("that is not for them to approve")

// Decision is a person's answer to an approval.
type Decision struct {
	Approved bool      `json:"approved"`
	By       string    `json:"by"` // for people
	Person   Person    `json:"person"`
	At       time.Time `json:"at"`
	Subject  string    `json:"subject"` // digest of what was answered about
}

// Decide is the answer of a person.
func Decide(approved bool, by Person, at time.Time) Decision {
	return Decision{Approved: approved, By: by.String(), Person: by, At: at}
}

func (r *Run) decide(u Unit, s landscape.Stage, q question, d Decision) error {
	if err := r.mayDecide(s, d); err != nil {
		return err
	}
	if err := os.MkdirAll(r.unitDir(u), 0o700); err != nil {
		return err
	}
	made, err := r.decisions(u)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(made, func(b Decision) bool { return !b.Approved }); i >= 0 && d.Approved {
		return fmt.Errorf("%w: %s has answered already: denied", ErrUsage, made[i].By)
	}
	if len(made) >= max(1, s.Approvals) && !d.Approved {
		return fmt.Errorf("%w: %s has answered already: approved", ErrUsage, names(made))
	}
	d.Subject = q.Subject.Digest()
	err = saveFirst(r.unitFile(u, decisionFile(d.Person)), d)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	i := slices.IndexFunc(made, func(b Decision) bool { return b.Person.identity() == d.Person.identity() })
	if i < 0 || made[i].Approved != d.Approved || s.Approvals > 1 {
		return fmt.Errorf("%w: %s has answered already; %s", ErrUsage, d.By, count(s))
	}
	return nil
}

func count(s landscape.Stage) string {
	if s.Approvals > 1 {
		return fmt.Sprintf("%d different people are to approve", s.Approvals)
	}
	return "the first answer counts"
}

// mayDecide refuses the approval of who began the run, where four eyes are to see it.
func (r *Run) mayDecide(s landscape.Stage, d Decision) error {
	switch {
	case !d.Approved || !s.FourEyes:
		return nil
	case d.Person.Said != "":
		return fmt.Errorf("%w: stage %q asks for four eyes, and %s only says who has approved: answer with godwit pipeline approve %s", ErrForbidden, s.Name, d.Person.Name, r.ID)
	case r.Person == nil:
		return fmt.Errorf("%w: stage %q asks for four eyes, and run %s does not say who began it: begin a new one", ErrForbidden, s.Name, r.ID)
	case r.Person.identity() == d.Person.identity():
		return fmt.Errorf("%w: stage %q asks for four eyes, and %s began run %s: somebody else approves it, with godwit pipeline approve %s", ErrForbidden, s.Name, r.By, r.ID, r.ID)
	}
	return nil
}

const decisionPrefix = "decision-"

func decisionFile(p Person) string { return fmt.Sprintf("%s%d.json", decisionPrefix, p.identity()) }

// decisions are those that were made, oldest first.
func (r *Run) decisions(u Unit) ([]Decision, error) {
	files, err := filepath.Glob(filepath.Join(escape(r.unitDir(u)), decisionPrefix+"*.json"))
	var all []Decision
	for _, f := range files {
		var d Decision
		there, e := r.load(u, filepath.Base(f), &d)
		if e != nil {
			return nil, e
		}
		if there {
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(a, b Decision) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Person.identity(), b.Person.identity()))
	})
	return all, err
}

func names(all []Decision) string {
	var by []string
	for _, d := range all {
		by = append(by, d.By)
	}
	return strings.Join(by, " and ")
}

// settled are the answers to a question once they suffice: one denial, or as many
// people as are to approve. What was said of something else, or too late, or by
// who may not, does not count.
func (r *Run) settled(u Unit, s landscape.Stage, q question) ([]Decision, error) {
	made, err := r.decisions(u)
	if err != nil {
		return nil, err
	}
	made = slices.DeleteFunc(made, func(d Decision) bool {
		late := s.Timeout > 0 && !d.At.Before(q.Since.Add(s.Timeout))
		return late || d.Subject != q.Subject.Digest() || r.mayDecide(s, d) != nil
	})
	if i := slices.IndexFunc(made, func(d Decision) bool { return !d.Approved }); i >= 0 {
		return made[i : i+1], nil
	}
	if len(made) < max(1, s.Approvals) {
		return nil, nil
	}
	return made, nil
}
