package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Identity is whose credentials these are.
type Identity struct {
	Account string
	ARN     string
}

// Account implements site.Fronted.
func (s *Site) Account(ctx context.Context) (string, error) {
	i, err := s.clients.WhoAmI(ctx)
	return i.Account, err
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
