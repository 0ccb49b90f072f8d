//go:build !linux

package confine

import "errors"

// All of these confine nothing where there is nothing to do it with, and say
// so: the process goes on as it is. Errors: errors.ErrUnsupported.
func Gateway(int, string, []string, []string) error { return errors.ErrUnsupported }

// Relay is like Gateway.
func Relay(int, []uint16, []string) error { return errors.ErrUnsupported }

// Maker is like Gateway.
func Maker([]string, []string) error { return errors.ErrUnsupported }
