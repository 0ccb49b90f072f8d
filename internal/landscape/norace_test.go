//go:build !race

package landscape_test

import "time"

// hostileSize is the greatest file that is parsed at all.
const hostileSize = 1 << 20

// soon is the processor time that any file may take.
const soon = 2 * time.Second
