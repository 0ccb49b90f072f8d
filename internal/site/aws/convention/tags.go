package convention

// Tags. Terraform puts Landscape and Environment on everything, Service and
// Colour on what belongs to one; a bake and a rollout add theirs.
const (
	TagLandscape   = "godwit:landscape"
	TagEnvironment = "godwit:environment"
	TagService     = "godwit:service"
	TagColour      = "godwit:colour"

	// On AMIs and their snapshots.
	TagImage   = "godwit:image"  // digest of the OCI image, "sha256:…"
	TagCommit  = "godwit:commit" // of the source, as far as known
	TagSBOM    = "godwit:sbom"   // digest of the software bill of materials
	TagBakedAt = "godwit:baked"  // RFC 3339
	TagBase    = "godwit:base"   // id of the AMI that it was made from

	// On Auto Scaling groups, by rollouts.
	TagRelease = "godwit:release" // number of the release that it holds; absent: none
	TagSince   = "godwit:since"   // RFC 3339, when that release was first launched
)
