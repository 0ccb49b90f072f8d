package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// failures are the launches that AWS could not make, by id of the activity, the
// latest hundred: what it says of each.
func (s *Site) failures(ctx context.Context, g group) (map[string]string, error) {
	out, err := s.clients.AutoScaling.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{
		AutoScalingGroupName: &g.name, MaxRecords: aws.Int32(100)})
	if err != nil {
		return nil, explain("reading what "+g.name+" has done", err)
	}
	failed := map[string]string{}
	for _, a := range out.Activities {
		if a.StatusCode == types.ScalingActivityStatusCodeFailed || a.StatusCode == types.ScalingActivityStatusCodeCancelled {
			failed[aws.ToString(a.ActivityId)] = aws.ToString(a.StatusMessage)
		}
	}
	return failed, nil
}
