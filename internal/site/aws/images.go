package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// machineImage is the AMI that was baked from a release's image, the newest of
// several; it reads user data of a version.
func (s *Site) machineImage(ctx context.Context, r fleet.Release, version int) (string, error) {
	all, err := s.machineImages(ctx, r)
	if err != nil {
		return "", err
	}
	usable := slices.DeleteFunc(slices.Clone(all), func(i types.Image) bool {
		return i.State != types.ImageStateAvailable || reads(i) < version
	})
	if len(usable) == 0 {
		return "", fmt.Errorf("image %s of service %s cannot be launched, %s: bake it: `godwit aws bake %s`, with --image where the landscape declares another one by now: %w",
			r.Image, r.Service, unusable(all, version), r.Service, site.ErrInvalid)
	}
	newest := slices.MaxFunc(usable, func(a, b types.Image) int {
		if c := strings.Compare(aws.ToString(a.CreationDate), aws.ToString(b.CreationDate)); c != 0 {
			return c
		}
		return strings.Compare(aws.ToString(a.ImageId), aws.ToString(b.ImageId))
	})
	return aws.ToString(newest.ImageId), nil
}

// unusable says why none of these machine images can be launched.
func unusable(all []types.Image, version int) string {
	if len(all) == 0 {
		return "there is no machine image of it"
	}
	i := slices.IndexFunc(all, func(i types.Image) bool { return i.State == types.ImageStateAvailable })
	if i < 0 {
		return fmt.Sprintf("its machine image %s is %s", aws.ToString(all[0].ImageId), all[0].State)
	}
	lacks := "would not read the values that this release was given"
	if version == convention.ReadsLaunchHook {
		lacks = "would not say when it is healthy, which a service without a load balancer has to do itself"
	}
	return fmt.Sprintf("its machine image %s was baked by an older godwit, and %s", aws.ToString(all[i].ImageId), lacks)
}

// machineImages are all that were baked from a release's image.
func (s *Site) machineImages(ctx context.Context, r fleet.Release) ([]types.Image, error) {
	filter := func(name, value string) types.Filter { return types.Filter{Name: &name, Values: []string{value}} }
	in := &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{
		filter("tag:"+convention.TagLandscape, s.declared().Name), filter("tag:"+convention.TagService, r.Service), filter("tag:"+convention.TagImage, r.Image)}}
	var all []types.Image
	err := pages(func(token *string) (*string, error) {
		in.NextToken = token
		out, err := s.clients.EC2.DescribeImages(ctx, in)
		if err != nil {
			return nil, explain("looking for a machine image of "+r.Service, err)
		}
		all = append(all, out.Images...)
		return out.NextToken, nil
	})
	return all, err
}

// reads is the newest version of user data that a machine image reads.
func reads(i types.Image) int {
	for _, t := range i.Tags {
		if aws.ToString(t.Key) == convention.TagReads {
			return number(aws.ToString(t.Value))
		}
	}
	return 1
}

// offered refuses an instance type that a zone of the group does not have: Auto
// Scaling would try for minutes, and leave a zone empty.
func (s *Site) offered(ctx context.Context, instance string, zones []string) error {
	if instance == "" || len(zones) == 0 {
		return nil
	}
	in := &ec2.DescribeInstanceTypeOfferingsInput{LocationType: types.LocationTypeAvailabilityZone,
		Filters: []types.Filter{{Name: aws.String("instance-type"), Values: []string{instance}}}}
	var has []string
	err := pages(func(token *string) (*string, error) {
		in.NextToken = token
		out, err := s.clients.EC2.DescribeInstanceTypeOfferings(ctx, in)
		if err != nil {
			return nil, explain("asking where instance type "+instance+" is offered", err)
		}
		for _, o := range out.InstanceTypeOfferings {
			has = append(has, aws.ToString(o.Location))
		}
		return out.NextToken, nil
	})
	if err != nil {
		return err
	}
	lacking := slices.DeleteFunc(slices.Clone(zones), func(z string) bool { return slices.Contains(has, z) })
	if len(lacking) > 0 {
		return &Error{Kind: KindOffering, Says: fmt.Sprintf("instance type %s is not offered in %s", instance, strings.Join(lacking, ", ")),
			Mend: mends()[KindOffering], means: site.ErrInvalid}
	}
	return nil
}
