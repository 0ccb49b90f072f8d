//go:build race

package landscape_test

import "time"

// The race detector makes everything about ten times slower; what it is to find
// shows in smaller files as well.
const hostileSize = 1 << 16

// soon is the processor time that any file may take.
const soon = 20 * time.Second
