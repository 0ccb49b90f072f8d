//go:build race

package landscape_test

// The race detector makes everything about ten times slower; what it is to find
// shows in smaller files as well.
const hostileSize = 1 << 16
