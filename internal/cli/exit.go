package cli

import (
	"errors"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/probe"
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
	case errors.As(err, &u), errors.As(err, &f), errors.Is(err, errChangesPending), errors.Is(err, probe.ErrInvalid):
		return exitUsage
	case errors.As(err, &a):
		return failureCode(a)
	}
	return exitFailed
}

// asFailure is an error as programs get it.
func asFailure(err error) *api.Failure {
	f := api.AsFailure(err)
	var found *findingsError
	if errors.As(err, &found) {
		f.Findings = found.findings
	}
	if f.Code == api.Failed && exitCode(err) == exitUsage {
		f.Code = api.Usage
	}
	return f
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
