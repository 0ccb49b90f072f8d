package aws

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"godwit/internal/fleet"
)

// Load balancers count by minute, and say what they counted a minute or two
// later. So a verdict sees what clients saw about two minutes ago.
const (
	metricsNamespace = "AWS/ApplicationELB"
	finest           = time.Minute
	// late is how long after its end a minute may still change. Its requests and
	// errors count at once, for these only grow; its latencies do not.
	late = time.Minute
)

// quantiles of the response time that are asked for; the last is the greatest value.
func quantiles() []quantile {
	return []quantile{{0.5, "p50"}, {0.9, "p90"}, {0.95, "p95"}, {0.99, "p99"}, {0.999, "p99.9"}, {1, "Maximum"}}
}

type quantile struct {
	share     float64
	statistic string
}

// traffic is what the target groups of a place have served since begun. Errors
// are the instances' 5xx and connections that they did not take; what the load
// balancer refused before it chose a place belongs to none.
func (s *Site) traffic(ctx context.Context, p *place, begun time.Time) (fleet.Traffic, error) {
	t := fleet.Traffic{Latency: make([]uint64, len(fleet.LatencyBounds)+1)}
	if begun.IsZero() {
		return t, nil
	}
	now := s.options.Now().UTC()
	for _, g := range p.targetGroups {
		for _, balancer := range g.loadBalancers {
			minutes, period, err := s.minutes(ctx, g, balancer, begun, now)
			if err != nil {
				return t, err
			}
			for at, m := range minutes {
				m.count(&t, at.Add(period+late).Before(now))
			}
		}
	}
	t.Errors = min(t.Errors, t.Requests)
	return t, nil
}

// minute is what was counted in one period.
type minute struct {
	requests, errors float64
	seconds          map[float64]float64 // response time by quantile
}

// period is how finely a span is asked for: CloudWatch keeps minutes for 15 days,
// and nobody needs a thousand points of a quiet month.
func period(span time.Duration) time.Duration {
	switch {
	case span <= 12*time.Hour:
		return finest
	case span <= 60*24*time.Hour:
		return time.Hour
	}
	return 24 * time.Hour
}

// minutes are the periods in which a target group was sent requests.
func (s *Site) minutes(ctx context.Context, g targetGroup, balancer string, begun, now time.Time) (map[time.Time]minute, time.Duration, error) {
	length := period(now.Sub(begun))
	in := &cloudwatch.GetMetricDataInput{MetricDataQueries: queries(g, balancer, length),
		StartTime: aws.Time(begun.UTC().Truncate(length)), EndTime: aws.Time(now.Truncate(finest).Add(finest))}
	found := map[time.Time]minute{}
	err := pages(func(token *string) (*string, error) {
		in.NextToken = token
		out, err := s.clients.CloudWatch.GetMetricData(ctx, in)
		if err != nil {
			return nil, explain("asking CloudWatch what "+g.name+" has served", err)
		}
		for _, r := range out.MetricDataResults {
			if err := collect(found, r); err != nil {
				return nil, err
			}
		}
		return out.NextToken, nil
	})
	return found, length, err
}

// queries, by id: requests, errors, refused, and q0, q1 … for quantiles.
func queries(g targetGroup, balancer string, length time.Duration) []types.MetricDataQuery {
	dimensions := []types.Dimension{{Name: aws.String("LoadBalancer"), Value: aws.String(suffix(balancer))},
		{Name: aws.String("TargetGroup"), Value: aws.String(suffix(g.arn))}}
	query := func(id, metric, statistic string) types.MetricDataQuery {
		return types.MetricDataQuery{Id: &id, ReturnData: aws.Bool(true), MetricStat: &types.MetricStat{
			Metric: &types.Metric{Namespace: aws.String(metricsNamespace), MetricName: &metric, Dimensions: dimensions},
			Period: aws.Int32(int32(length.Seconds())), Stat: &statistic}}
	}
	all := []types.MetricDataQuery{query("requests", "RequestCount", "Sum"),
		query("errors", "HTTPCode_Target_5XX_Count", "Sum"), query("refused", "TargetConnectionErrorCount", "Sum")}
	for i, q := range quantiles() {
		all = append(all, query(fmt.Sprintf("q%d", i), "TargetResponseTime", q.statistic))
	}
	return all
}

func collect(found map[time.Time]minute, r types.MetricDataResult) error {
	for i, at := range r.Timestamps {
		if i >= len(r.Values) {
			return fmt.Errorf("CloudWatch answers with %d times and %d values", len(r.Timestamps), len(r.Values))
		}
		m := found[at.UTC()]
		switch id := aws.ToString(r.Id); id {
		case "requests":
			m.requests += r.Values[i]
		case "errors", "refused":
			m.errors += r.Values[i]
		default:
			var q int
			if _, err := fmt.Sscanf(id, "q%d", &q); err != nil || q >= len(quantiles()) {
				return fmt.Errorf("CloudWatch answers %q, which was not asked", id)
			}
			if m.seconds == nil {
				m.seconds = map[float64]float64{}
			}
			m.seconds[quantiles()[q].share] = r.Values[i]
		}
		found[at.UTC()] = m
	}
	return nil
}
