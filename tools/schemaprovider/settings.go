package main

import (
	"fmt"
	"os"

	"github.com/zclconf/go-cty/cty"
)

// account is whose resources these are: the number that documentation uses.
const account = "123456789012"

// settings is what the provider was configured with, as far as it matters here.
type settings struct {
	region      string
	defaultTags map[string]cty.Value
}

func readSettings(config cty.Value) (settings, error) {
	s := settings{defaultTags: map[string]cty.Value{}}
	if region := config.GetAttr("region"); !region.IsNull() && region.IsKnown() {
		s.region = region.AsString()
	}
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if s.region == "" {
			s.region = os.Getenv(name)
		}
	}
	if s.region == "" {
		return s, fmt.Errorf("no region: set region in the provider block, or AWS_REGION")
	}
	blocks := config.GetAttr("default_tags")
	if blocks.IsNull() || !blocks.IsKnown() {
		return s, nil
	}
	for it := blocks.ElementIterator(); it.Next(); {
		_, b := it.Element()
		if tags := b.GetAttr("tags"); !tags.IsNull() && tags.IsKnown() {
			for k, v := range tags.AsValueMap() {
				s.defaultTags[k] = v
			}
		}
	}
	return s, nil
}
