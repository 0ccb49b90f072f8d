package aws

import (
	"context"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// failure is a launch that AWS could not make, or that it gave up.
type failure struct {
	instance string // that was being launched; "" when there was none yet
	says     string
}

// abandoned: the instance was there, and the hook that holds it until it is
// healthy was answered with no, or never.
func (f failure) abandoned() bool {
	return f.instance != "" && strings.Contains(f.says, "Lifecycle Action") && strings.Contains(f.says, "abandoned")
}

var instanceID = regexp.MustCompile(`\bi-[0-9a-f]+\b`)

// failures are the launches that failed, by id of the activity, the latest hundred.
func (s *Site) failures(ctx context.Context, g group) (map[string]failure, error) {
	out, err := s.clients.AutoScaling.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{
		AutoScalingGroupName: &g.name, MaxRecords: aws.Int32(100)})
	if err != nil {
		return nil, explain("reading what "+g.name+" has done", err)
	}
	failed := map[string]failure{}
	for _, a := range out.Activities {
		if a.StatusCode == types.ScalingActivityStatusCodeFailed || a.StatusCode == types.ScalingActivityStatusCodeCancelled {
			failed[aws.ToString(a.ActivityId)] = failure{instanceID.FindString(aws.ToString(a.Description)), aws.ToString(a.StatusMessage)}
		}
	}
	return failed, nil
}
