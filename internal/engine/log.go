package engine

import (
	"context"
	"fmt"
	"log/slog"
)

// discreet is a log that conceals secrets, whoever writes into it.
type discreet struct {
	slog.Handler
	secrets *secrets
}

// Handle implements slog.Handler.
func (d discreet) Handle(ctx context.Context, r slog.Record) error {
	told := slog.NewRecord(r.Time, r.Level, d.secrets.conceal(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		told.AddAttrs(d.attr(a))
		return true
	})
	return d.Handler.Handle(ctx, told)
}

// WithAttrs implements slog.Handler.
func (d discreet) WithAttrs(attrs []slog.Attr) slog.Handler {
	var told []slog.Attr
	for _, a := range attrs {
		told = append(told, d.attr(a))
	}
	return discreet{d.Handler.WithAttrs(told), d.secrets}
}

// WithGroup implements slog.Handler.
func (d discreet) WithGroup(name string) slog.Handler {
	return discreet{d.Handler.WithGroup(name), d.secrets}
}

func (d discreet) attr(a slog.Attr) slog.Attr {
	switch a.Value = a.Value.Resolve(); a.Value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, d.secrets.conceal(a.Value.String()))
	case slog.KindGroup:
		var told []any
		for _, inner := range a.Value.Group() {
			told = append(told, d.attr(inner))
		}
		return slog.Group(a.Key, told...)
	case slog.KindAny:
		text := fmt.Sprintf("%+v", a.Value.Any())
		if concealed := d.secrets.conceal(text); concealed != text {
			return slog.String(a.Key, concealed)
		}
	}
	return a
}
