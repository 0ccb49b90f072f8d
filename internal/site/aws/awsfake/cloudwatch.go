package awsfake

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

const cloudWatchID = "CloudWatch"

// CloudWatch is the client of metrics. It has those of load balancers, and
// nothing else.
type CloudWatch struct{ c *Cloud }

// CloudWatch returns a client.
func (c *Cloud) CloudWatch() CloudWatch { return CloudWatch{c} }

// value of a sample for a metric; false: it does not count.
func (s sample) value(metric string) (float64, bool) {
	own := s.group == ""
	switch metric {
	case "RequestCount", "RequestCountPerTarget":
		return 1, !own
	case "TargetResponseTime":
		return s.took.Seconds(), !own
	}
	class := strconv.Itoa(s.status/100) + "XX_Count"
	return 1, !own && metric == "HTTPCode_Target_"+class || own && metric == "HTTPCode_ELB_"+class
}

// datapoints of one metric: values by the beginning of their period. Only what
// has been long enough over is there, and only dimensions that AWS has: the load
// balancer, or it with one target group.
func (c *Cloud) datapoints(m *types.Metric, period time.Duration, from, to time.Time) map[time.Time][]float64 {
	dimensions := map[string]string{}
	for _, d := range m.Dimensions {
		dimensions[aws.ToString(d.Name)] = aws.ToString(d.Value)
	}
	balancer, hasBalancer := dimensions["LoadBalancer"]
	group, hasGroup := dimensions["TargetGroup"]
	alone := hasGroup && aws.ToString(m.MetricName) == "RequestCountPerTarget"
	if aws.ToString(m.Namespace) != "AWS/ApplicationELB" || !hasBalancer && !alone || len(dimensions) > 2 || len(dimensions) == 2 && !(hasBalancer && hasGroup) {
		return nil
	}
	out := map[time.Time][]float64{}
	for _, s := range c.samples {
		v, ok := s.value(aws.ToString(m.MetricName))
		if !ok || hasBalancer && s.balancer != balancer || hasGroup && s.group != group {
			continue
		}
		bucket := s.at.Truncate(c.options.Resolution)
		if bucket.Add(c.options.Resolution + c.options.Delay).After(c.now) {
			continue // not published yet
		}
		if at := bucket.Truncate(period); !at.Before(from) && at.Before(to) {
			out[at] = append(out[at], v)
		}
	}
	return out
}

// statistic of the values of one period; false: there is no such statistic.
func statistic(name string, values []float64) (float64, bool) {
	slices.Sort(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	switch name {
	case "Sum":
		return sum, true
	case "SampleCount":
		return float64(len(values)), true
	case "Average":
		return sum / float64(len(values)), true
	case "Minimum":
		return values[0], true
	case "Maximum":
		return values[len(values)-1], true
	}
	if p, ok := strings.CutPrefix(name, "p"); ok {
		q, err := strconv.ParseFloat(p, 64)
		rank := int(math.Ceil(q/100*float64(len(values)))) - 1
		return values[min(max(rank, 0), len(values)-1)], err == nil && q >= 0 && q <= 100
	}
	return between(name, values)
}

// between is TC(a:b), how many values lie in (a, b], and PR(a:b), how many in a hundred.
func between(name string, values []float64) (float64, bool) {
	kind, bounds, ok := strings.Cut(strings.TrimSuffix(name, ")"), "(")
	low, high, two := strings.Cut(bounds, ":")
	if !ok || !two || kind != "TC" && kind != "PR" {
		return 0, false
	}
	a, b := math.Inf(-1), math.Inf(1)
	if n, err := strconv.ParseFloat(low, 64); err == nil {
		a = n
	}
	if n, err := strconv.ParseFloat(high, 64); err == nil {
		b = n
	}
	n := 0.0
	for _, v := range values {
		if v > a && v <= b {
			n++
		}
	}
	if kind == "PR" {
		n = 100 * n / float64(len(values))
	}
	return n, true
}

// point of a result.
type point struct {
	query int
	at    time.Time
	value float64
}

// GetMetricData implements the SDK's method, for metrics; it refuses expressions.
func (w CloudWatch) GetMetricData(ctx ctx, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	return call(ctx, w.c, cloudWatchID, "GetMetricData", exact, in, func(in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
		if in.StartTime == nil || in.EndTime == nil || !in.StartTime.Before(*in.EndTime) {
			return nil, fail(400, "ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
		}
		if n := len(in.MetricDataQueries); n == 0 || n > 500 {
			return nil, fail(400, "ValidationError", "The collection MetricDataQueries must have 1 to 500 members, and has %d.", n)
		}
		var all []point
		seen := map[string]bool{}
		for i, q := range in.MetricDataQueries {
			id := aws.ToString(q.Id)
			if id == "" || id[0] < 'a' || id[0] > 'z' || seen[id] {
				return nil, fail(400, "ValidationError", "The value %s for parameter MetricDataQueries.member.%d.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$, or not unique.", id, i+1)
			}
			seen[id] = true
			points, err := w.c.query(i, q, *in.StartTime, *in.EndTime, in.ScanBy)
			if err != nil {
				return nil, err
			}
			all = append(all, points...)
		}
		part, next, err := page(w.c, all, in.NextToken, in.MaxDatapoints, 100800)
		if err != nil {
			return nil, err
		}
		return &cloudwatch.GetMetricDataOutput{MetricDataResults: results(in.MetricDataQueries, part, next != nil), NextToken: next}, nil
	})
}

func (c *Cloud) query(i int, q types.MetricDataQuery, from, to time.Time, order types.ScanBy) ([]point, error) {
	if q.MetricStat == nil || q.MetricStat.Metric == nil {
		return nil, fail(400, "GodwitFakeRefuses", "the fake computes no expressions: query %s", aws.ToString(q.Id))
	}
	seconds := aws.ToInt32(q.MetricStat.Period)
	if !slices.Contains([]int32{1, 5, 10, 30}, seconds) && (seconds < 60 || seconds%60 != 0) {
		return nil, fail(400, "ValidationError", "The parameter Period must be 1, 5, 10, 30 or a multiple of 60, and is %d.", seconds)
	}
	period := time.Duration(seconds) * time.Second
	var out []point
	for at, values := range c.datapoints(q.MetricStat.Metric, period, from.Truncate(period), to) {
		v, ok := statistic(aws.ToString(q.MetricStat.Stat), values)
		if !ok {
			return nil, fail(400, "ValidationError", "The value %s for parameter MetricDataQueries.member.%d.MetricStat.Stat is not a valid statistic.", aws.ToString(q.MetricStat.Stat), i+1)
		}
		out = append(out, point{i, at, v})
	}
	slices.SortFunc(out, func(a, b point) int {
		if order == types.ScanByTimestampAscending {
			return cmp.Compare(a.at.UnixNano(), b.at.UnixNano())
		}
		return cmp.Compare(b.at.UnixNano(), a.at.UnixNano())
	})
	return out, nil
}

// results has every query, also those without points on this page.
func results(queries []types.MetricDataQuery, points []point, more bool) []types.MetricDataResult {
	var out []types.MetricDataResult
	for i, q := range queries {
		r := types.MetricDataResult{Id: q.Id, Label: q.Label, StatusCode: types.StatusCodeComplete}
		if more {
			r.StatusCode = types.StatusCodePartialData
		}
		if r.Label == nil {
			r.Label = q.MetricStat.Metric.MetricName
		}
		for _, p := range points {
			if p.query == i {
				r.Timestamps, r.Values = append(r.Timestamps, p.at), append(r.Values, p.value)
			}
		}
		out = append(out, r)
	}
	return out
}
