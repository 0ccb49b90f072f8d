package gateway

import (
	"errors"
	"fmt"
)

// What an error of the gateway's control side means. The client returns the same.
var (
	// ErrNotFound: no such pool, route or hold.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: the request contradicts itself; nothing was changed.
	ErrInvalid = errors.New("invalid request")
	// ErrConflict: what is there forbids it; nothing was changed.
	ErrConflict = errors.New("conflict")
	// ErrExpired: the hold's lease ended; its requests have been let go.
	ErrExpired = errors.New("hold expired")
	// ErrSuperseded: another gateway has taken over; ask that one.
	ErrSuperseded = errors.New("superseded by another gateway")
)

// Reasons for which a request is not served.
var (
	errNoEndpoint = errors.New("no endpoint ready")
	errAway       = errors.New("none of the pool's endpoints can be reached now")
	errTooMany    = errors.New("too many requests on hold")
	errDeparted   = errors.New("client departed")
	errStopping   = errors.New("gateway is stopping")
)

// errorf makes an error that is kind and says what, without repeating kind's words.
func errorf(kind error, format string, args ...any) error {
	return &kindError{kind: kind, text: fmt.Sprintf(format, args...)}
}

type kindError struct {
	kind error
	text string
}

func (e *kindError) Error() string { return e.text }
func (e *kindError) Unwrap() error { return e.kind }
