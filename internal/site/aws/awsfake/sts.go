package awsfake

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// STS is the client that knows whose credentials these are.
type STS struct{ c *Cloud }

// STS returns a client.
func (c *Cloud) STS() STS { return STS{c} }

// GetCallerIdentity implements the SDK's method.
func (s STS) GetCallerIdentity(ctx ctx, in *sts.GetCallerIdentityInput, _ ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error) {
	return call(ctx, s.c, "STS", "GetCallerIdentity", exact, in, func(*sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		return &sts.GetCallerIdentityOutput{Account: aws.String(s.c.options.AccountID), UserId: aws.String("AIDAFAKE"),
			Arn: aws.String(fmt.Sprintf("arn:aws:iam::%s:user/fake", s.c.options.AccountID))}, nil
	})
}
