//go:build !linux

package relay

import (
	"errors"
	"net"
)

func confineSelf(Config) error { return errors.ErrUnsupported }

func inherited(int) (net.Listener, error) { return nil, errors.ErrUnsupported }
