package main

import (
	"testing"

	"github.com/zclconf/go-cty/cty"
)

// Every block of the schema can be read and offered: what is broken panics.
func TestWholeSchema(t *testing.T) {
	s, err := readSchema(schemaGz, nil)
	if err != nil {
		t.Fatal(err)
	}
	// As scripts/provider-schema counted them when it wrote the file.
	if s.version != "6.25.0" || len(s.resources) != 1578 || len(s.data) != 629 {
		t.Errorf("version %s, %d resources, %d data sources", s.version, len(s.resources), len(s.data))
	}
	for _, all := range []map[string]*lazyBlock{s.resources, s.data} {
		for name, b := range all {
			b.get().object()
			b.get().wire(name)
		}
	}
}

// What the package that the schema is made from is known to say of some.
func TestKnownParts(t *testing.T) {
	s, err := readSchema(schemaGz, nil)
	if err != nil {
		t.Fatal(err)
	}
	vpc := s.resources["aws_subnet"].get().Attributes
	if a := vpc["vpc_id"]; !a.required || a.computed {
		t.Errorf("aws_subnet.vpc_id: %+v", a)
	}
	if a := vpc["arn"]; a.required || a.optional || !a.computed {
		t.Errorf("aws_subnet.arn: %+v", a)
	}
	group := s.resources["aws_security_group"].get()
	if _, block := group.Blocks["ingress"]; block || !group.Attributes["ingress"].typ().IsSetType() {
		t.Error("aws_security_group.ingress is a set of objects, which can be written as blocks")
	}
	if n := s.resources["aws_launch_template"].get().Blocks["metadata_options"]; n.nesting != "list" || n.max != 1 || n.min != 0 {
		t.Errorf("aws_launch_template.metadata_options: %+v", n)
	}
	if n := s.resources["aws_s3_bucket_versioning"].get().Blocks["versioning_configuration"]; n.min != 1 {
		t.Errorf("aws_s3_bucket_versioning.versioning_configuration: %+v", n)
	}
	rule := s.resources["aws_wafv2_web_acl"].get().Blocks["rule"].block
	limit := rule.Blocks["statement"].block.Blocks["rate_based_statement"].block.Attributes["limit"]
	if !limit.required || limit.typ() != cty.Number {
		t.Errorf("a rate's limit: %+v", limit)
	}
}

func TestOnlySome(t *testing.T) {
	s, err := readSchema(schemaGz, map[string]bool{"aws_vpc": true, "aws_nothing": true})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.resources) != 1 || len(s.data) != 1 || s.provider == nil {
		t.Errorf("%d resources, %d data sources", len(s.resources), len(s.data))
	}
}
