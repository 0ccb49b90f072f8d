package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Connect reads the credentials as every tool for AWS does: environment, profile,
// SSO, instance. profile may be "" for the usual one, endpoint the URL of an
// emulator instead of AWS. It asks nothing of AWS yet.
func Connect(ctx context.Context, region, endpoint, profile string) (aws.Config, error) {
	load := []func(*config.LoadOptions) error{config.WithRegion(region)}
	if endpoint != "" {
		load = append(load, config.WithBaseEndpoint(endpoint))
	}
	if profile != "" {
		load = append(load, config.WithSharedConfigProfile(profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	return cfg, Explain(err)
}
