package postgres

import (
	"context"
	"fmt"
)

// Phase of a database on its way.
type Phase string

const (
	Idle     Phase = "idle"     // nothing of godwit is there
	Syncing  Phase = "syncing"  // rows are being copied
	Synced   Phase = "synced"   // the target follows the source
	Between  Phase = "between"  // both sides are fenced: inside a switch
	Moved    Phase = "moved"    // the target holds the truth, the source follows
	Finished Phase = "finished" // the target holds the truth, the source is left fenced
	Split    Phase = "split"    // both sides accept writes though they should not
)

// Status of a database on its way.
type Status struct {
	Database string `json:"database"`
	Phase    Phase  `json:"phase"`
	Truth    string `json:"truth"` // Source or Target; "" when neither may be written to
	Tables   int    `json:"tables"`
	Copied   int    `json:"copied"`
	LagBytes int64  `json:"lag_bytes"`
	Failures int    `json:"failures"`          // of the workers that copy and apply
	Problem  string `json:"problem,omitempty"` // what has closed the way to the other side
}

// Status looks at both sides.
func (b *Reader) Status(ctx context.Context) (Status, error) {
	s := Status{Database: b.Database}
	fenced := map[string]bool{}
	for _, side := range []string{Source, Target} {
		var err error
		if fenced[side], err = b.fenced(ctx, side); err != nil {
			return s, err
		}
	}
	s.Truth = truthOf(fenced[Source], fenced[Target])
	p, err := b.progress(ctx)
	if err != nil {
		return s, err
	}
	s.Tables, s.Copied = p.Tables, p.Copied
	if s.Failures, err = b.copyErrors(ctx); err != nil {
		return s, err
	}
	if s.Truth != "" {
		if s.LagBytes, err = b.lag(ctx, s.Truth); err != nil {
			return s, err
		}
	}
	s.Phase = phaseOf(fenced[Source], fenced[Target], p)
	if s.Phase == Synced || s.Phase == Moved {
		found, err := b.Ways(ctx)
		if err != nil {
			return s, err
		}
		for _, f := range found {
			s.Problem += fmt.Sprintf("%s; %s. ", f.Summary, f.Mend)
		}
	}
	return s, nil
}

func phaseOf(source, target bool, p Progress) Phase {
	switch {
	case source && target:
		return Between
	case source && p.Tables > 0:
		return Moved
	case source:
		return Finished
	case target && p.Tables > 0 && p.Copied == p.Tables:
		return Synced
	case target:
		return Syncing
	case p.Tables > 0:
		return Split
	}
	return Idle
}

// truthOf says who holds the truth: who may be written to. Without any fence
// that is the source.
func truthOf(source, target bool) string {
	switch {
	case source && target:
		return ""
	case source:
		return Target
	}
	return Source
}

func (b *Reader) truth(ctx context.Context) (string, error) {
	source, err := b.fenced(ctx, Source)
	if err != nil {
		return "", err
	}
	target, err := b.fenced(ctx, Target)
	return truthOf(source, target), err
}
