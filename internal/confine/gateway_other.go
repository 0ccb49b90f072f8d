//go:build !linux

package confine

// Gateway confines nothing where there is nothing to do it with: the gateway goes
// on as it is.
func Gateway(int, string, []string, []string) error { return nil }
