//go:build !linux

package runtime

// ShimName is the argument under which this program is the shim.
const ShimName = "instance-shim"

// Shim needs Linux.
func Shim() int { return 127 }
