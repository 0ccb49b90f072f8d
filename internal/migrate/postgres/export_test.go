package postgres

// What tests from outside look at.
var (
	DefinitionsIn = definitionsIn
	Diff          = diff
	Stamp         = stampOf
)
