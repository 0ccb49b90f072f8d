// Package pipeline brings a change into production: a run of a declared
// pipeline, its stages one after the other, each stage's units (one per service)
// side by side. It runs them here, and renders them as a Jenkinsfile whose stages
// run the very same units.
//
// Each unit's command is run by a worker, a process of its own that outlives
// whoever watches it. A runner or Jenkins agent that dies, loses its connection
// or is started twice finds the worker again and attaches to it; what is done is
// never done again. Secrets are masked before a byte reaches a log.
//
// What is known of a run lies in small files of its own directory, each written
// to a temporary file, synced, and renamed. That is simpler here than a journal:
// several processes write at the same time (workers, a runner, an approver
// elsewhere), a store has one owner, and a list of stages goes only forward.
//
// Only cli imports it.
package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/landscape"
)

var (
	ErrBusy     = errors.New("a run of this pipeline is under way")
	ErrNotFound = errors.New("there is no such run")
	ErrUsage    = errors.New("that cannot be done")
	ErrExists   = errors.New("there is such a run already")
)

// Waiting is a run that goes on once a person has answered.
type Waiting struct {
	Run, Stage, Question string
}

func (w *Waiting) Error() string {
	return fmt.Sprintf("run %s waits for an approval: %q; answer with godwit pipeline approve %s, then go on with godwit pipeline run --resume %s",
		w.Run, w.Question, w.Run, w.Run)
}

// Failure is a stage that did not end well.
type Failure struct {
	Run, Stage string
	Refused    bool // by a health verdict, a person, or a later run
	Units      []Result
}

func (f *Failure) Error() string {
	var b strings.Builder
	word := "failed"
	if f.Refused {
		word = "was refused"
	}
	fmt.Fprintf(&b, "stage %q of run %s %s", f.Stage, f.Run, word)
	for _, u := range f.Units {
		fmt.Fprintf(&b, "\n%s: %s: %s", u.Name(), u.Status, u.Reason)
	}
	fmt.Fprintf(&b, "\nmend it, then go on with: godwit pipeline run --resume %s", f.Run)
	return b.String()
}

// Interruption is a run that was told to end; it wraps how its context ended.
type Interruption struct {
	Run, Stage string // "" before the first stage
	cause      error
}

func (i *Interruption) Error() string { return "interrupted " + i.Where() }

func (i *Interruption) Unwrap() error { return i.cause }

// Where it was, and how to go on.
func (i *Interruption) Where() string {
	where := "before it did anything"
	if i.Stage != "" {
		where = fmt.Sprintf("in stage %q; nothing of it runs any more", i.Stage)
	}
	return where + "; go on with godwit pipeline run --resume " + i.Run
}

// Unit is what one worker does: a stage, for one service when it is about services.
type Unit struct {
	Stage   int    `json:"position"`
	Title   string `json:"stage"`
	Service string `json:"service,omitempty"`
}

// Name is the unit for people.
func (u Unit) Name() string {
	if u.Service == "" {
		return u.Title
	}
	return u.Title + "/" + u.Service
}

// perService says whether a stage's work is done for each service by itself.
func perService(s landscape.Stage) bool {
	return s.Build || s.Bake || s.Deploy != "" || s.Run != nil && s.Run.Each
}

func units(p landscape.Pipeline, stage int) []Unit {
	s := p.Stages[stage]
	if !perService(s) {
		return []Unit{{Stage: stage, Title: s.Name}}
	}
	var all []Unit
	for _, service := range p.Services {
		all = append(all, Unit{Stage: stage, Title: s.Name, Service: service})
	}
	return all
}

// complete fills in what a pipeline leaves to the landscape.
func complete(l *landscape.Landscape, p landscape.Pipeline) landscape.Pipeline {
	if len(p.Services) > 0 {
		return p
	}
	p.Services = nil
	for _, s := range l.Services {
		p.Services = append(p.Services, s.Name)
	}
	return p
}

// Secrets are the names of the variables that a landscape takes from the
// environment, sorted: their values are never shown.
func Secrets(l *landscape.Landscape) []string {
	var names []string
	note := func(v landscape.Value) {
		for _, ref := range v.Refs() {
			if ref.Kind == "env" {
				names = append(names, ref.Name)
			}
		}
	}
	for _, s := range l.Services {
		for _, v := range s.Env {
			note(v)
		}
	}
	for _, s := range l.Sources {
		for _, e := range slices.Concat(s.Services, s.Databases) {
			note(e.URL)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
