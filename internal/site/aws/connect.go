package aws

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// silence is how long AWS may leave one attempt of a call unanswered; by itself the
// SDK waits for ever on a connection that was cut without a word.
const silence = 15 * time.Second

// Access is as whom AWS is asked: a profile, or keys, or when it is empty whatever
// every tool for AWS finds: environment, usual profile, SSO, instance.
type Access struct {
	Profile                string
	KeyID, Secret, Session string
}

// Connect reads the credentials as every tool for AWS does. endpoint may be the URL
// of an emulator instead of AWS. It asks nothing of AWS yet.
func Connect(ctx context.Context, region, endpoint string, as Access) (aws.Config, error) {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = silence })
	load := []func(*config.LoadOptions) error{config.WithRegion(region), config.WithHTTPClient(client)}
	if endpoint != "" {
		load = append(load, config.WithBaseEndpoint(endpoint))
	}
	if as.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(as.Profile))
	}
	if as.KeyID != "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(as.KeyID, as.Secret, as.Session)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	return cfg, Explain(err)
}
