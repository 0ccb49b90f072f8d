package aws

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// vpc is the network of an environment. ErrNotFound when the environment is not there.
func (s *Site) vpc(ctx context.Context, scope convention.Scope) (netip.Prefix, error) {
	filter := func(tag, value string) types.Filter {
		return types.Filter{Name: aws.String("tag:" + tag), Values: []string{value}}
	}
	out, err := s.clients.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{
		filter(convention.TagLandscape, scope.Landscape), filter(convention.TagEnvironment, scope.Environment)}})
	if err != nil {
		return netip.Prefix{}, explain("looking for the VPC of environment "+scope.Environment, err)
	}
	switch len(out.Vpcs) {
	case 0:
		return netip.Prefix{}, fmt.Errorf("environment %s of %s is not on AWS in %s: check the region, or make it: `godwit aws apply --env %s`: %w",
			scope.Environment, scope.Landscape, s.options.Region, scope.Environment, site.ErrNotFound)
	case 1:
	default:
		return netip.Prefix{}, fmt.Errorf("environment %s of %s has %d VPCs, %s and %s among them: remove the tags %s and %s from what is not godwit's",
			scope.Environment, scope.Landscape, len(out.Vpcs), aws.ToString(out.Vpcs[0].VpcId), aws.ToString(out.Vpcs[1].VpcId),
			convention.TagLandscape, convention.TagEnvironment)
	}
	network, err := netip.ParsePrefix(aws.ToString(out.Vpcs[0].CidrBlock))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("the network of VPC %s: %w", aws.ToString(out.Vpcs[0].VpcId), err)
	}
	return network, nil
}
