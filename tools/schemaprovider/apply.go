package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// apply creates, changes or deletes a resource in the world.
func (s *server) apply(kind string, b *block, c change) (cty.Value, error) {
	if c.next.IsNull() {
		if err := s.unused(kind, c.prior); err != nil {
			return c.prior, err
		}
		return c.next, s.world.remove(kind, s.key(kind, c.prior))
	}
	if c.prior.IsNull() {
		return s.create(kind, b, c)
	}
	i := s.inventor(kind, b, c)
	now := i.fill()
	made, err := s.entry(kind, b, now)
	if err != nil {
		return c.prior, err
	}
	if before := s.key(kind, c.prior); before != made.Key {
		if err := s.world.add(made); err != nil {
			return c.prior, fmt.Errorf("%s %w", made.Key, err)
		}
		return now, s.world.remove(kind, before)
	}
	return now, s.world.put(made)
}

// create makes a resource. An id that was made up and is taken is made up again; a
// name that is taken is an error, as it is to AWS.
func (s *server) create(kind string, b *block, c change) (cty.Value, error) {
	i := s.inventor(kind, b, c)
	last := ""
	for round := 0; ; round++ {
		i.reseed(round)
		now := i.fill()
		made, err := s.entry(kind, b, now)
		if err != nil {
			return c.prior, err
		}
		if err = s.world.add(made); err == nil {
			return now, nil
		}
		if !errors.Is(err, errTaken) || made.Key == last {
			return c.prior, fmt.Errorf("%s %w", made.Key, err)
		}
		last = made.Key
	}
}

func (s *server) entry(kind string, b *block, v cty.Value) (entry, error) {
	raw, err := ctyjson.Marshal(v, b.object())
	return entry{Type: kind, ID: identity(v), Key: s.key(kind, v), State: raw}, err
}

// read finds a resource as the world has it now; null, when it is gone.
func (s *server) read(kind string, b *block, prior cty.Value) (cty.Value, error) {
	if !s.world.kept() || prior.IsNull() {
		return prior, nil
	}
	found, ok, err := s.world.get(kind, s.key(kind, prior))
	if err != nil {
		return prior, err
	}
	if !ok {
		return cty.NullVal(b.object()), nil
	}
	return b.fromJSON(found.State)
}

// key is where the world keeps a resource.
func (s *server) key(kind string, v cty.Value) string {
	region := "global"
	if v.Type().HasAttribute("region") {
		region = s.settings.region
		if r := text(v, "region"); r != "" {
			region = r
		}
	}
	key := kind + "/" + region + "/" + identity(v)
	// Names that are unique within something else only.
	switch kind {
	case "aws_autoscaling_policy", "aws_autoscaling_schedule", "aws_autoscaling_lifecycle_hook":
		key += "/" + text(v, "autoscaling_group_name")
	case "aws_cloudwatch_log_metric_filter":
		key += "/" + text(v, "log_group_name")
	}
	return key
}

// identity is the id, or for the few without one what else tells them apart.
func identity(v cty.Value) string {
	for _, name := range []string{"id", "arn", "association_id"} {
		if id := text(v, name); id != "" {
			return id
		}
	}
	var parts []string
	for _, name := range []string{"account_id", "bucket", "name", "resource_arn", "resource_id", "user", "role", "policy_arn", "key"} {
		if part := text(v, name); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

// text is a string attribute that is there and known; else "".
func text(v cty.Value, name string) string {
	if v.IsNull() || !v.IsKnown() || !v.Type().HasAttribute(name) {
		return ""
	}
	a := v.GetAttr(name)
	if a.IsNull() || !a.IsKnown() || a.Type() != cty.String {
		return ""
	}
	return a.AsString()
}

var ofEC2 = regexp.MustCompile(`^(vpc|subnet|sg|igw|rtb|eipalloc|lt)-[0-9a-f]{17}$`)

// unused refuses to delete what others still hold on to, as EC2 does: a destroy in
// the wrong order is found.
func (s *server) unused(kind string, gone cty.Value) error {
	id := text(gone, "id")
	if !s.world.kept() || !ofEC2.MatchString(id) || strings.HasPrefix(kind, "aws_default_") {
		return nil
	}
	others, err := s.world.all(func(other string) bool { return !letsGo(other) })
	if err != nil {
		return err
	}
	var holders []string
	for _, other := range others {
		// As a value, not merely as part of a text.
		if key := other.Key; key != s.key(kind, gone) && strings.Contains(string(other.State), `"`+id+`"`) {
			holders = append(holders, key)
		}
	}
	if len(holders) > 0 {
		slices.Sort(holders)
		return fmt.Errorf("DependencyViolation: %s can't be deleted: used by %s", id, strings.Join(holders, ", "))
	}
	return nil
}

// letsGo are those that name others without needing them to stay.
func letsGo(kind string) bool {
	switch kind {
	case "aws_launch_template", "aws_flow_log", "aws_ssm_parameter", "aws_route53_zone", "aws_route_table_association":
		return true
	}
	return false
}
