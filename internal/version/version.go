// Package version says which godwit this is. Everybody may import it.
package version

import "runtime/debug"

// Version is the release this source belongs to.
const Version = "0.1.0-dev"

// Commit is the revision the binary was built from, or "unknown" when the
// build did not record it.
func Commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "unknown"
}
