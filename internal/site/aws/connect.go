package aws

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
)

// silence is how long AWS may leave one attempt of a call unanswered; by itself the
// SDK waits for ever on a connection that was cut without a word.
const silence = 15 * time.Second

// Connect reads the credentials as every tool for AWS does: environment, profile,
// SSO, instance. profile may be "" for the usual one, endpoint the URL of an
// emulator instead of AWS. It asks nothing of AWS yet.
func Connect(ctx context.Context, region, endpoint, profile string) (aws.Config, error) {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = silence })
	load := []func(*config.LoadOptions) error{config.WithRegion(region), config.WithHTTPClient(client)}
	if endpoint != "" {
		load = append(load, config.WithBaseEndpoint(endpoint))
	}
	if profile != "" {
		load = append(load, config.WithSharedConfigProfile(profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	return cfg, Explain(err)
}
