package plan

import "godwit/internal/fleet"

// Same reports whether a release that is wanted is one that is there: nothing
// would change by a rollout. Numbers and times do not count.
func Same(want, have fleet.Release) bool {
	// Unlike Compute, who asks this knows the version that is wanted.
	return want.SecretVersion == have.SecretVersion && len(differences(want, have)) == 0
}
