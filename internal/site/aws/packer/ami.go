package packer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"godwit/internal/site/aws/convention"
)

// EC2 is what a bake asks EC2 itself, besides what Packer does.
type EC2 interface {
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
	ModifyImageAttribute(context.Context, *ec2.ModifyImageAttributeInput, ...func(*ec2.Options)) (*ec2.ModifyImageAttributeOutput, error)
}

type describeImages interface {
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
}

// list gives the account's own AMIs with these tags that can be used, newest first.
func list(ctx context.Context, client describeImages, tags map[string]string) ([]AMI, error) {
	in := &ec2.DescribeImagesInput{Owners: []string{"self"}}
	for name, value := range tags {
		in.Filters = append(in.Filters, types.Filter{Name: aws.String("tag:" + name), Values: []string{value}})
	}
	var all []AMI
	for {
		out, err := client.DescribeImages(ctx, in)
		if err != nil {
			return nil, explainAPI("looking for machine images", err)
		}
		for _, i := range out.Images {
			if i.State == types.ImageStateAvailable {
				all = append(all, amiOf(i))
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	slices.SortFunc(all, func(a, b AMI) int { return b.Created.Compare(a.Created) })
	return all, nil
}

func amiOf(i types.Image) AMI {
	tags := map[string]string{}
	for _, t := range i.Tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	ami := AMI{ID: aws.ToString(i.ImageId), Name: aws.ToString(i.Name), Image: tags[convention.TagImage], Base: tags[convention.TagBase],
		SBOM: tags[convention.TagSBOM], Recipe: tags[convention.TagRecipe]}
	// The bake's own word first: it orders two images of one second alike everywhere.
	for _, at := range []string{aws.ToString(i.CreationDate), tags[convention.TagBakedAt]} {
		if t, err := time.Parse(time.RFC3339, at); err == nil {
			ami.Created = t
		}
	}
	for _, d := range i.BlockDeviceMappings {
		if d.Ebs != nil && aws.ToString(d.Ebs.SnapshotId) != "" {
			ami.Snapshots = append(ami.Snapshots, *d.Ebs.SnapshotId)
		}
	}
	return ami
}

// seal makes every instance of an AMI speak to the metadata service by tokens
// only, whatever starts it. Debian's Packer cannot say so itself. Done again for
// an AMI that was found: its bake may have ended just before.
func (o Options) seal(ctx context.Context, id string) (AMI, error) {
	out, err := o.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		return AMI{}, explainAPI("asking for AMI "+id, err)
	}
	if len(out.Images) != 1 {
		return AMI{}, fmt.Errorf("%w: Packer made AMI %s, and EC2 does not know it", ErrFailed, id)
	}
	ami := amiOf(out.Images[0])
	if out.Images[0].ImdsSupport == types.ImdsSupportValuesV20 {
		return ami, nil
	}
	_, err = o.EC2.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: &id, Attribute: aws.String("imdsSupport"),
		ImdsSupport: &types.AttributeValue{Value: aws.String("v2.0")}})
	if err != nil {
		return ami, explainAPI("AMI "+id+" is there; requiring tokens of the metadata service for it (bake again to repeat this)", err)
	}
	return ami, nil
}
