package awsfake

import (
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

type ctx = context.Context

type image struct {
	id, name  string
	created   time.Time
	tags      tags
	behaviour Behaviour
	served    int
}

// Behaviour of the instances of an image.
type Behaviour struct {
	// Unhealthy: their health check is never answered. Nobody completes the
	// lifecycle hook of their launch.
	Unhealthy bool
	// HoldsHook: nothing on them completes the lifecycle hook of their end, so
	// that it has to time out.
	HoldsHook bool
	// Serve says how the n-th request to any of them ends, and how long it takes;
	// 200 after 5 ms when nil.
	Serve func(n int) (status int, took time.Duration)
}

// SetBehaviour says how instances of an image behave from now on.
func (c *Cloud) SetBehaviour(imageID string, b Behaviour) {
	defer c.enter()()
	if i := c.ec2.images[imageID]; i != nil {
		i.behaviour = b
	}
}

func (i *image) serve() (int, time.Duration) {
	i.served++
	if i.behaviour.Serve == nil {
		return 200, 5 * time.Millisecond
	}
	return i.behaviour.Serve(i.served - 1)
}

// RegisterImage implements the SDK's method.
func (e EC2) RegisterImage(ctx ctx, in *ec2.RegisterImageInput, _ ...func(*ec2.Options)) (*ec2.RegisterImageOutput, error) {
	return call(ctx, e.c, ec2ID, "RegisterImage", write, in, func(in *ec2.RegisterImageInput) (*ec2.RegisterImageOutput, error) {
		for _, other := range e.c.ec2.images {
			if other.name == aws.ToString(in.Name) {
				return nil, fail(400, "InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", other.name, other.id)
			}
		}
		i := &image{id: e.c.new("ami"), name: aws.ToString(in.Name), created: e.c.now, tags: tagsOf(in.TagSpecifications, types.ResourceTypeImage)}
		e.c.ec2.images[i.id] = i
		return &ec2.RegisterImageOutput{ImageId: aws.String(i.id)}, nil
	})
}

// DeregisterImage implements the SDK's method.
func (e EC2) DeregisterImage(ctx ctx, in *ec2.DeregisterImageInput, _ ...func(*ec2.Options)) (*ec2.DeregisterImageOutput, error) {
	return call(ctx, e.c, ec2ID, "DeregisterImage", write, in, func(in *ec2.DeregisterImageInput) (*ec2.DeregisterImageOutput, error) {
		id := aws.ToString(in.ImageId)
		if e.c.ec2.images[id] == nil {
			return nil, noImage(id)
		}
		delete(e.c.ec2.images, id)
		return &ec2.DeregisterImageOutput{Return: aws.Bool(true)}, nil
	})
}

func noImage(id string) error {
	return fail(400, "InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
}

// DescribeImages implements the SDK's method.
func (e EC2) DescribeImages(ctx ctx, in *ec2.DescribeImagesInput, _ ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	return call(ctx, e.c, ec2ID, "DescribeImages", read, in, func(in *ec2.DescribeImagesInput) (*ec2.DescribeImagesOutput, error) {
		for _, id := range in.ImageIds {
			if e.c.ec2.images[id] == nil {
				return nil, noImage(id)
			}
		}
		var found []types.Image
		for _, i := range made(e.c, e.c.ec2.images) {
			ok, err := matches(in.Filters, map[string]string{"image-id": i.id, "name": i.name, "state": "available", "owner-id": e.c.options.AccountID,
				"is-public": "false", "architecture": "x86_64", "root-device-type": "ebs", "virtualization-type": "hvm"}, i.tags)
			if err != nil {
				return nil, err
			}
			mine := len(in.Owners) == 0 || slices.Contains(in.Owners, "self") || slices.Contains(in.Owners, e.c.options.AccountID)
			if ok && mine && (len(in.ImageIds) == 0 || slices.Contains(in.ImageIds, i.id)) {
				found = append(found, types.Image{ImageId: aws.String(i.id), Name: aws.String(i.name), State: types.ImageStateAvailable,
					OwnerId: aws.String(e.c.options.AccountID), CreationDate: aws.String(i.created.UTC().Format("2006-01-02T15:04:05.000Z")), Tags: i.tags.list()})
			}
		}
		part, next, err := page(e.c, found, in.NextToken, in.MaxResults, 1000)
		return &ec2.DescribeImagesOutput{Images: part, NextToken: next}, err
	})
}
