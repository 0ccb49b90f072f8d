package tofu

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
)

// What a Problem is about.
var (
	ErrCredentials = errors.New("no valid credentials")
	ErrExpired     = errors.New("the credentials have expired")
	ErrDenied      = errors.New("not allowed")
	ErrRegion      = errors.New("wrong region")
	ErrQuota       = errors.New("a quota of the account is reached")
	ErrThrottled   = errors.New("AWS asks to slow down")
	ErrUnavailable = errors.New("not offered there")
	ErrCapacity    = errors.New("no capacity there at the moment")
	ErrProvider    = errors.New("a provider cannot be installed")
	ErrBackend     = errors.New("where the state is was changed")
	ErrBucket      = errors.New("a bucket is missing")
	ErrLocked      = errors.New("the state is locked")
	ErrStale       = errors.New("the plan is stale")
	ErrUnsaved     = errors.New("a state is not saved")
	ErrProtected   = errors.New("it is protected")
	ErrExists      = errors.New("it exists already")
	ErrDNS         = errors.New("no such Route 53 zone")
	ErrDisk        = errors.New("the disk is full")
	ErrNetwork     = errors.New("no answer")
	ErrInterrupted = errors.New("interrupted")
	ErrDeclared    = errors.New("what was rendered is refused")
)

// Problem is one thing that went wrong: what, where, how to mend it.
type Problem struct {
	Summary string `json:"summary"`
	Detail  string `json:"detail,omitempty"`
	Address string `json:"address,omitempty"` // of the resource
	File    string `json:"file,omitempty"`    // in the rendered tree
	Line    int    `json:"line,omitempty"`
	Mend    string `json:"mend"`
	Kind    error  `json:"-"`
	// Passing: the same again may succeed without anything being mended.
	Passing bool `json:"passing,omitempty"`
}

func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	}
	if p.Address != "" {
		fmt.Fprintf(&b, "%s: ", p.Address)
	}
	b.WriteString(p.Summary)
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	return b.String() + "\n  mend: " + p.Mend
}

func (p Problem) Unwrap() error { return p.Kind }

// Failure is why a command did not do what it was asked for.
type Failure struct {
	What     string    `json:"what"` // "apply"
	Root     string    `json:"root"`
	Problems []Problem `json:"problems"`
	Outcome  *Outcome  `json:"outcome,omitempty"` // of an apply
}

func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s failed", f.What, f.Root)
	for _, p := range f.Problems {
		b.WriteString("\n" + p.Error())
	}
	if f.Outcome != nil {
		f.outcome(&b)
	}
	return b.String()
}

func (f *Failure) outcome(b *strings.Builder) {
	o := f.Outcome
	if len(o.Done)+len(o.Half) == 0 {
		b.WriteString("\nNothing was changed.")
		return
	}
	fmt.Fprintf(b, "\nOf %d changes: %s.", len(o.Done)+len(o.Half)+len(o.Open), o)
	for _, list := range []struct {
		title string
		parts []Part
	}{{"done", o.Done}, {"half", o.Half}, {"open", o.Open}} {
		for _, p := range list.parts {
			fmt.Fprintf(b, "\n  %s  %s %s", list.title, signs[p.Action], p.Address)
			if p.Note != "" {
				fmt.Fprintf(b, "  (%s)", p.Note)
			}
		}
	}
	b.WriteString("\nThe state says what there is. Plan and apply again: it goes on from here.")
}

// Unwrap lets errors.Is ask for the kind of any problem.
func (f *Failure) Unwrap() []error {
	var all []error
	for _, p := range f.Problems {
		all = append(all, p)
	}
	return all
}

// failure is made from what the program reported, or from the error of running it.
func (d *Driver) failure(what string, r Root, w *watcher, err error) error {
	f := &Failure{What: what, Root: r.Name}
	if w != nil {
		w.mu.Lock()
		for _, diag := range w.problems {
			f.Problems = append(f.Problems, d.problem(r, diag))
		}
		w.mu.Unlock()
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f.Problems = append(f.Problems, Problem{Summary: "it was interrupted", Kind: errors.Join(ErrInterrupted, err), Passing: true, Mend: "run it again"})
	case len(f.Problems) == 0 && err != nil: // for people, not for programs
		summary, detail := plainError(err.Error())
		f.Problems = append(f.Problems, d.problem(r, diagnostic{Summary: summary, Detail: detail}))
	}
	if errors.Is(f, ErrProvider) || errors.Is(f, ErrBackend) {
		_ = r.remove(stampFile) // initialise again, next time
	}
	return f
}

// plainError finds the message in what the program wrote for people.
func plainError(text string) (summary, detail string) {
	text = strings.NewReplacer("╷", "", "│", "", "╵", "").Replace(ansi.ReplaceAllString(text, ""))
	_, message, found := strings.Cut(text, "Error: ")
	if !found {
		return strings.TrimSpace(text), ""
	}
	summary, detail, _ = strings.Cut(message, "\n")
	return strings.TrimSpace(summary), strings.TrimSpace(detail)
}

var (
	ansi  = regexp.MustCompile("\x1b\\[[0-9;]*m")
	noise = regexp.MustCompile(`(?i),? ?\b(RequestID|HostID|Request ID|x-amz-id-2): ?[^,\s)]*,?`)
	// Of credentials that were not found the summary says that already, and whoever
	// knows these words by heart would say the mend once more.
	asked = regexp.MustCompile(`(?i)\b(get identity: |get credentials: |failed to (refresh|retrieve) cached credentials[,:] )`)
	space = regexp.MustCompile(`\s+`)
)

const longestDetail = 700

func tidy(s string) string {
	s = strings.TrimSpace(space.ReplaceAllString(noise.ReplaceAllString(s, ""), " "))
	s = asked.ReplaceAllString(s, "")
	if r := []rune(s); len(r) > longestDetail {
		s = string(r[:longestDetail]) + "…"
	}
	return s
}

// problem explains a diagnostic.
func (d *Driver) problem(r Root, diag diagnostic) Problem {
	p := classify(diag.Summary + "\n" + diag.Detail)
	p.Address = diag.Address
	if p.Summary == "" {
		p.Summary, p.Detail = tidy(diag.Summary), tidy(diag.Detail)
	} else if p.Detail == "" {
		p.Detail = tidy(strings.TrimSpace(diag.Summary + ": " + diag.Detail))
	}
	if diag.Range != nil && diag.Range.Filename != "" {
		p.File = path.Join(r.Name, diag.Range.Filename)
		p.Line = diag.Range.Start.Line
	}
	if errors.Is(p.Kind, ErrLocked) {
		p.Mend = fmt.Sprintf(p.Mend, lockID(diag.Detail), r.flag())
	}
	return p
}

// explain is the same for what AWS answers to godwit itself.
func explain(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", what, err)
	}
	text := err.Error()
	var api smithy.APIError
	if errors.As(err, &api) {
		text = api.ErrorCode() + ": " + api.ErrorMessage()
		if api.ErrorCode() == "Forbidden" { // of a HEAD request, which has no body
			text = "AccessDenied: the answer does not say why"
		}
	}
	p := classify(text)
	p.Detail = tidy(text)
	if p.Summary == "" {
		p.Summary = "AWS refused"
	}
	p.Summary = what + ": " + p.Summary
	return p
}
