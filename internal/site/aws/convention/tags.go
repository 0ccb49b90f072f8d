package convention

// Tags. Terraform puts Landscape and Environment on everything, Service, Database
// and Colour on what belongs to one; a bake and a rollout add theirs.
const (
	TagLandscape   = "godwit:landscape"
	TagEnvironment = "godwit:environment"
	TagService     = "godwit:service"
	TagDatabase    = "godwit:database"
	TagColour      = "godwit:colour"

	// On AMIs and their snapshots.
	TagImage   = "godwit:image"  // digest of the OCI image, "sha256:…"
	TagCommit  = "godwit:commit" // of the source, as far as known
	TagSBOM    = "godwit:sbom"   // digest of the software bill of materials
	TagBakedAt = "godwit:baked"  // RFC 3339
	TagBase    = "godwit:base"   // id of the AMI that it was made from
	TagRecipe  = "godwit:recipe" // digest of all that went into it besides the base
	TagReads   = "godwit:reads"  // newest version of UserData that it reads; absent: 1
	TagBake    = "godwit:bake"   // on all that a bake makes, its builder instance too: id of the bake

	// On Auto Scaling groups, by rollouts.
	TagRelease = "godwit:release" // number of the release that it holds; absent: none
	TagSince   = "godwit:since"   // RFC 3339, when that release was first launched
	TagWeight  = "godwit:weight"  // of a service: what counts where no rule forwards to it

	// TagWithdrawn is on the groups of a service that is there, and that the
	// landscape last applied does not declare.
	TagWithdrawn = "godwit:withdrawn"
)
