package api

import (
	"context"
	"net/http"
	"slices"
)

// Concealer is an Engine that knows secrets: it takes them out of a text.
type Concealer interface {
	Conceal(text string) string
}

type concealKey struct{}

// concealing lets the failures of every route be told without what the engine conceals.
func concealing(e Engine, next http.Handler) http.Handler {
	known, ok := e.(Concealer)
	if !ok {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), concealKey{}, known)))
	})
}

// failureOf is an error as the client of a request gets it.
func failureOf(ctx context.Context, err error) *Failure {
	f := AsFailure(err)
	known, ok := ctx.Value(concealKey{}).(Concealer)
	if !ok {
		return f
	}
	told := *f
	told.Message = known.Conceal(f.Message)
	told.Findings = slices.Clone(f.Findings)
	for i := range told.Findings {
		told.Findings[i].Summary = known.Conceal(told.Findings[i].Summary)
		told.Findings[i].Mend = known.Conceal(told.Findings[i].Mend)
	}
	return &told
}
