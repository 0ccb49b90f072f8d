package packer

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// TestCheckBuilder: what is said of the builder is judged without anything to bake.
func TestCheckBuilder(t *testing.T) {
	t.Parallel()
	for says, b := range map[string]Bake{
		"":                   {Session: true, Subnet: "subnet-0123456789abcdef0", Base: Base{ID: "ami-0123456789abcdef0"}},
		"security group":     {SecurityGroup: "sg-1"},
		"subnet":             {Session: true, Subnet: "a'b"},
		`base "nonsense"`:    {Session: true, Base: Base{ID: "nonsense"}},
		"everybody":          {From: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		"in one way":         {From: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, SecurityGroup: "sg-0123456789abcdef0"},
		"instance type":      {Session: true, Instance: "big"},
		"instance profile":   {Session: true, Profile: "a b"},
		"KMS key \"${key}\"": {Session: true, Key: "${key}"},
	} {
		err := b.CheckBuilder()
		if says == "" && err != nil || says != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v", says, err)
		}
	}
}
