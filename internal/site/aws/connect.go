package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Connect uses the credentials that the AWS CLI would: of the environment, of a
// profile, of a role. endpoint, when not "", is called instead of AWS.
func Connect(ctx context.Context, region, endpoint string) (Clients, error) {
	options := []func(*config.LoadOptions) error{config.WithRegion(region)}
	if endpoint != "" {
		options = append(options, config.WithBaseEndpoint(endpoint))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return Clients{}, explain("reading the configuration of AWS", err)
	}
	return NewClients(cfg), nil
}

// Identity is whose credentials these are.
type Identity struct {
	Account string
	ARN     string
}

// WhoAmI asks AWS, which anybody may: so it also finds out whether there are
// valid credentials before anything is begun.
func (c Clients) WhoAmI(ctx context.Context) (Identity, error) {
	out, err := c.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Identity{}, explain("asking whose credentials these are", err)
	}
	return Identity{Account: aws.ToString(out.Account), ARN: aws.ToString(out.Arn)}, nil
}
