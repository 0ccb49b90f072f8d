package packer

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// groupVersions keeps the AMIs of versions that groups launch from, or did launch
// instances from that still run.
func groupVersions(ctx context.Context, client PruneAutoScaling, versions []version, used map[string]string) error {
	in := &autoscaling.DescribeAutoScalingGroupsInput{}
	for {
		out, err := client.DescribeAutoScalingGroups(ctx, in)
		if err != nil {
			return explainAPI("looking for Auto Scaling groups", err)
		}
		for _, g := range out.AutoScalingGroups {
			for _, s := range specifications(g) {
				for _, v := range versions {
					if v.is(aws.ToString(s.LaunchTemplateId), aws.ToString(s.LaunchTemplateName), aws.ToString(s.Version)) {
						used[v.ami] = fmt.Sprintf("group %s uses it", aws.ToString(g.AutoScalingGroupName))
					}
				}
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return nil
		}
	}
}

func specifications(g astypes.AutoScalingGroup) []astypes.LaunchTemplateSpecification {
	var all []astypes.LaunchTemplateSpecification
	add := func(s *astypes.LaunchTemplateSpecification) {
		if s != nil {
			all = append(all, *s)
		}
	}
	add(g.LaunchTemplate)
	if p := g.MixedInstancesPolicy; p != nil && p.LaunchTemplate != nil {
		add(p.LaunchTemplate.LaunchTemplateSpecification)
		for _, o := range p.LaunchTemplate.Overrides {
			add(o.LaunchTemplateSpecification)
		}
	}
	for _, i := range g.Instances {
		add(i.LaunchTemplate)
	}
	return all
}

// instances keeps the AMIs that anything was started from that is not ended.
func instances(ctx context.Context, client PruneEC2, used map[string]string) error {
	in := &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("instance-state-name"),
		Values: []string{"pending", "running", "shutting-down", "stopping", "stopped"}}}}
	for {
		out, err := client.DescribeInstances(ctx, in)
		if err != nil {
			return explainAPI("looking for instances", err)
		}
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				used[aws.ToString(i.ImageId)] = fmt.Sprintf("instance %s runs from it", aws.ToString(i.InstanceId))
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return nil
		}
	}
}
