package local

import (
	"os"

	"godwit/internal/confine"
)

// relayID is the uid that an environment's relays have of their own; 0 when they
// are of this user.
func (s *Site) relayID(environment string) int {
	if os.Geteuid() != 0 {
		return 0
	}
	return confine.RelayID(s.wardenDir(environment))
}
