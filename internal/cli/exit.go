package cli

import (
	"context"
	"errors"
	"strings"

	"godwit/internal/api"
	"godwit/internal/landscape"
)

// Exit statuses, see the root command's help.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

// findingsError is a landscape that cannot be used.
type findingsError struct {
	findings landscape.Findings
}

func (*findingsError) Error() string { return "the landscape has findings" }

// changesPending is plan --detailed-exitcode's answer.
var errChangesPending = errors.New("changes pending")

// exitCode is the one mapping from errors to exit statuses.
func exitCode(err error) int {
	var (
		u *usageError
		f *findingsError
		a *api.Failure
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &u), errors.As(err, &f), errors.Is(err, errChangesPending):
		return exitUsage
	case errors.As(err, &a):
		return failureCode(a)
	case errors.Is(err, context.Canceled), errors.Is(err, errInterrupted):
		return exitFailed
	case strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage // cobra has no type for it
	}
	return exitFailed
}

func failureCode(f *api.Failure) int {
	switch f.Code {
	case api.Usage, api.Missing:
		return exitUsage
	case api.Refused:
		return exitRefused
	}
	return exitFailed
}
