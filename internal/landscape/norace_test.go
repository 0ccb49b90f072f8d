//go:build !race

package landscape_test

// hostileSize is the greatest file that is parsed at all.
const hostileSize = 1 << 20
