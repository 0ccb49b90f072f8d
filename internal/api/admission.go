package api

import "context"

// Admitter is an Engine that bounds how many requests are under way. It is asked once
// a request is whole, and told when it is answered.
type Admitter interface {
	Admit(ctx context.Context) (leave func(), err error)
}

// admission is an Engine's; of one that admits all it refuses nothing.
func admission(e Engine) func(context.Context) (func(), error) {
	if known, ok := e.(Admitter); ok {
		return known.Admit
	}
	return func(context.Context) (func(), error) { return func() {}, nil }
}
