//go:build !linux

package warden

import (
	"context"
	"errors"
	"os"
)

var errLinux = errors.New("environments need Linux")

// HostID, InstanceID: see the Linux file.
func HostID(string, int) int { return os.Getuid() }
func InstanceID(int) int     { return 0 }

// Main, Start, Wait, Kill and Pid need Linux.
func Main([]string) int                   { return 1 }
func Start(context.Context, Config) error { return errLinux }
func Wait(context.Context, string) error  { return nil }
func Kill(context.Context, string) error  { return nil }
func Pid(string) (int, error)             { return 0, ErrNotRunning }

// Bound and Unbound need Linux.
func Bound(string, Bounds) error { return ErrUnbound }
func Unbound(string) func(context.Context) error {
	return func(context.Context) error { return nil }
}
