//go:build !linux

package confine

import "errors"

// Gateway confines nothing where there is nothing to do it with, and says so: the
// gateway goes on as it is. Errors: errors.ErrUnsupported.
func Gateway(int, string, []string, []string) error { return errors.ErrUnsupported }
