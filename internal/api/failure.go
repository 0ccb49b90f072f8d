package api

import (
	"errors"
	"fmt"

	"godwit/internal/landscape"
)

// Code is what kind of failure it is; there is one mapping to exit codes (in
// cli) and one to HTTP status (here).
type Code string

const (
	Failed  Code = "failed"  // it was tried and did not work
	Usage   Code = "usage"   // the request or the landscape is wrong: nothing was done
	Refused Code = "refused" // protected, health verdict, budget
	Missing Code = "missing" // no such thing
	Busy    Code = "busy"    // something else is under way
)

// Failure is an error that travels over the API.
type Failure struct {
	Code     Code               `json:"code"`
	Message  string             `json:"message"`
	Findings landscape.Findings `json:"findings,omitempty"`
}

func (f *Failure) Error() string { return f.Message }

// Fail makes a Failure.
func Fail(code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsFailure finds the Failure in err, or wraps err as one that Failed.
func AsFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return &Failure{Code: f.Code, Message: err.Error(), Findings: f.Findings}
	}
	return &Failure{Code: Failed, Message: err.Error()}
}

// HTTPStatus of a code.
func (c Code) HTTPStatus() int {
	switch c {
	case Usage:
		return 422
	case Refused:
		return 403
	case Missing:
		return 404
	case Busy:
		return 409
	}
	return 500
}
