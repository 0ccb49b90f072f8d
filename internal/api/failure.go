package api

import (
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"

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

// codeOf is the code of an HTTP error that was not made from a Failure.
func codeOf(status int) Code {
	switch {
	case status == http.StatusNotFound:
		return Missing
	case status/100 == 4:
		return Usage
	}
	return Failed
}

// statusFailure writes a Failure as the body of an HTTP error.
type statusFailure struct {
	*Failure
}

func (s *statusFailure) GetStatus() int { return s.Code.HTTPStatus() }

// answerWithFailures makes huma say in a Failure what it does not accept.
var answerWithFailures = sync.OnceFunc(func() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		f := Fail(codeOf(status), "%s", message)
		for _, err := range errs {
			if err != nil {
				f.Message += ": " + withoutValue(err)
			}
		}
		return &statusFailure{f}
	}
})

// withoutValue says what is wrong and where; the value itself may be a secret.
func withoutValue(err error) string {
	var detail *huma.ErrorDetail
	if errors.As(err, &detail) && detail.Location != "" {
		return detail.Location + ": " + detail.Message
	}
	return err.Error()
}

// HTTPStatus of a code.
func (c Code) HTTPStatus() int {
	switch c {
	case Usage:
		return http.StatusUnprocessableEntity
	case Refused:
		return http.StatusForbidden
	case Missing:
		return http.StatusNotFound
	case Busy:
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

// ExitOccupied is the exit status of an engine whose state directory another
// engine uses.
const ExitOccupied = 4
