//go:build !linux

package local

import (
	"context"
	"fmt"

	"godwit/internal/landscape"
	"godwit/internal/site"
)

// Check: environments of this site need Linux.
func Check() []Problem {
	return []Problem{{Missing: "Linux", Mend: "run godwit up in a Linux machine; validate and plan work here"}}
}

func tryIsolation() int { return 1 }

func needsLinux() error { return fmt.Errorf("the local site needs Linux: %w", site.ErrUnsupported) }

// What has to do with relays, and CheckIsolation, need Linux.
func (s *Site) OpenRelay(context.Context, string, string, string) (site.Relay, error) {
	return site.Relay{}, needsLinux()
}
func (s *Site) CloseRelay(context.Context, string, string) error { return needsLinux() }
func (s *Site) RelayState(context.Context, string, string) (site.RelayState, error) {
	return site.RelayState{}, needsLinux()
}
func (s *Site) KeepRelays(context.Context, string, func(context.Context) error) error {
	return needsLinux()
}
func (s *Site) restartRelays(context.Context, *record) error      { return needsLinux() }
func (s *Site) closeRelay(context.Context, *record, string) error { return needsLinux() }
func (s *Site) CheckIsolation(context.Context, *landscape.Landscape) (site.Isolation, error) {
	return site.Isolation{}, needsLinux()
}
