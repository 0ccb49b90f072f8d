// Schemaprovider answers OpenTofu and Terraform as the AWS provider would, as far
// as a schema goes: what `validate`, `plan`, `apply`, drift and `destroy` need,
// without an account and without a network.
//
// Its schema is the real one of the AWS provider, taken from the npm package
// @cdktf/provider-aws (MPL-2.0) by scripts/provider-schema. So a wrong argument,
// type, block or missing requirement is refused by OpenTofu itself, what only AWS
// can know is unknown until it is applied, and references, the graph and lifecycle
// rules are real. What it creates is kept in a directory, a JSON file for each
// resource, which GODWIT_SCHEMA_PROVIDER_WORLD names: a test may change them, which
// is drift.
//
// It is not AWS: it checks no value's meaning but for the few rules in rules.go,
// and invents ids, addresses and versions.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
)

//go:embed schema-6.25.0.json.gz
var schemaGz []byte

const (
	// worldVariable names the directory that what is created is kept in.
	worldVariable = "GODWIT_SCHEMA_PROVIDER_WORLD"
	// typesVariable names the only resources and data sources that are offered,
	// separated by commas, and the blocks that are omitted otherwise (see omitted):
	// OpenTofu reads the whole schema for each command, and a small one is read ten
	// times as fast. Unset, all are.
	typesVariable = "GODWIT_SCHEMA_PROVIDER_TYPES"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "schema provider:", err)
		os.Exit(1)
	}
}

func serve() error {
	only := map[string]bool{}
	for name := range strings.FieldsFuncSeq(os.Getenv(typesVariable), func(r rune) bool { return r == ',' }) {
		only[name] = true
	}
	schema, err := readSchema(schemaGz, only)
	if err != nil {
		return fmt.Errorf("reading the schema: %w", err)
	}
	world := openWorld(os.Getenv(worldVariable))
	return tf5server.Serve("registry.opentofu.org/hashicorp/aws", func() tfprotov5.ProviderServer {
		return &server{schema: schema, world: world}
	})
}
