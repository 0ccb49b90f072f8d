//go:build !linux

package relay

import (
	"errors"
	"net/netip"
)

func userOf(netip.AddrPort, netip.AddrPort) (int, error) { return 0, errors.ErrUnsupported }
func listenerAt(netip.AddrPort) (int, error)             { return 0, errors.ErrUnsupported }
