package awsfake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
)

type bucketMaker interface {
	CreateBucket(context.Context, *s3.CreateBucketInput, ...func(*s3.Options)) (*s3.CreateBucketOutput, error)
}

type groupKeeper interface {
	DescribeLifecycleHooks(context.Context, *autoscaling.DescribeLifecycleHooksInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeLifecycleHooksOutput, error)
	AttachLoadBalancerTargetGroups(context.Context, *autoscaling.AttachLoadBalancerTargetGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.AttachLoadBalancerTargetGroupsOutput, error)
	DetachLoadBalancerTargetGroups(context.Context, *autoscaling.DetachLoadBalancerTargetGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DetachLoadBalancerTargetGroupsOutput, error)
}

// side is moto or the fake, called in the same way.
type side struct {
	name string
	aws.Clients
	ec2     awstest.EC2
	asg     awstest.AutoScaling
	elb     awstest.LoadBalancing
	rds     awstest.RDS
	secrets awstest.SecretsManager
	buckets bucketMaker
	groups  groupKeeper
	ids     map[string]string // what a step remembered, by name
	settle  func()            // lets happen what takes time
}

func (s *side) keep(name string, id *string) {
	if id != nil {
		s.ids[name] = *id
	}
}

func (s *side) id(name string) *string { id := s.ids[name]; return &id }

func moto(t *testing.T) *side {
	cfg := awstest.StartMoto(t).Config(t)
	return &side{name: "moto", Clients: aws.NewClients(cfg), ec2: ec2.NewFromConfig(cfg), asg: autoscaling.NewFromConfig(cfg), elb: elb.NewFromConfig(cfg),
		groups: autoscaling.NewFromConfig(cfg), rds: rds.NewFromConfig(cfg), secrets: secretsmanager.NewFromConfig(cfg), buckets: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
		ids: map[string]string{}, settle: func() {}}
}

func fake() *side {
	clock := awsfake.NewStepper()
	c := awsfake.New(awsfake.Options{Clock: clock.Now, Timings: awsfake.Realistic})
	return &side{name: "fake", Clients: aws.Clients{AutoScaling: c.AutoScaling(), EC2: c.EC2(), LoadBalancing: c.LoadBalancing(), CloudWatch: c.CloudWatch(), RDS: c.RDS(),
		SecretsManager: c.SecretsManager(), S3: c.S3(), STS: c.STS()}, ec2: c.EC2(), asg: c.AutoScaling(), elb: c.LoadBalancing(), rds: c.RDS(), secrets: c.SecretsManager(),
		buckets: c.S3(), groups: c.AutoScaling(), ids: map[string]string{}, settle: func() { clock.Step(10 * time.Minute) }}
}

// step is one call on both sides.
type step struct {
	name string
	do   func(*side) (any, error)
	// differs: fields in which moto is known to be wrong, or to choose freely,
	// with the reason. They must differ, or the line is out of date.
	differs map[string]string
	// code: the error of the fake, where moto's is known to be another; why says so.
	code, motoCode, why string
	// lacks: moto does not have it at all, and why the fake's answer is right.
	lacks string
}

// TestFakeAnswersAsMoto runs the same calls on both. Whatever field both answer
// must be the same, and so must the codes of errors.
func TestFakeAnswersAsMoto(t *testing.T) {
	t.Parallel()
	m, f := moto(t), fake()
	compared, lacking := 0, 0
	for _, s := range steps() {
		fo, fe := s.do(f)
		mo, me := s.do(m)
		f.settle()
		switch {
		case s.lacks != "":
			lacking++
			if me == nil {
				t.Errorf("%s: moto answers now; compare it", s.name)
			}
			continue
		case code(fe) != s.code && s.why != "", s.why == "" && code(fe) != code(me), s.why != "" && code(me) != s.motoCode:
			t.Errorf("%s: the fake says %q (%v), moto %q (%v)", s.name, code(fe), fe, code(me), me)
			continue
		case fe != nil || me != nil:
			if code(fe) == "" {
				t.Errorf("%s: an error without a code: %v, moto: %v", s.name, fe, me)
			}
			compared++
			continue
		}
		d := &difference{known: s.differs, met: map[string]bool{}}
		d.compare("", f.plain(t, fo), m.plain(t, mo))
		for _, wrong := range d.wrong {
			t.Errorf("%s: %s", s.name, wrong)
		}
		for path, why := range s.differs {
			if !d.met[path] {
				t.Errorf("%s: %s does not differ any more (%s)", s.name, path, why)
			}
		}
		compared += d.compared
	}
	t.Logf("%d answers and fields are the same; %d calls moto lacks", compared, lacking)
	if compared < 300 {
		t.Errorf("only %d answers and fields were compared", compared)
	}
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return "no code"
	}
	return ""
}

var (
	numbered = regexp.MustCompile(`\b(i|ami|lt|vpc|subnet|activity|rtb|sg)-[0-9a-f]{8,}`)
	suffixed = regexp.MustCompile(`/[0-9a-f]{15,16}\b`)
	grouped  = regexp.MustCompile(`autoScalingGroup:[^:]+:`)
)

// plain is an answer as JSON, ids replaced by the names they were kept under.
func (s *side) plain(t *testing.T, out any) any {
	t.Helper()
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, id := range s.ids {
		text = strings.ReplaceAll(text, id, "{"+name+"}")
	}
	text = grouped.ReplaceAllString(text, "autoScalingGroup:#:")
	text = suffixed.ReplaceAllString(numbered.ReplaceAllString(text, "$1-#"), "/#")
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// difference of two answers.
type difference struct {
	known    map[string]string
	met      map[string]bool
	wrong    []string
	compared int
}

var index = regexp.MustCompile(`\[\d+\]`)

func (d *difference) compare(path string, fake, moto any) {
	if strings.Contains(path, "ResultMetadata") || empty(fake) || empty(moto) {
		return
	}
	switch f := fake.(type) {
	case map[string]any:
		m, _ := moto.(map[string]any)
		for k := range f {
			d.compare(path+"."+k, f[k], m[k])
		}
	case []any:
		m, _ := moto.([]any)
		if len(f) != len(m) {
			d.report(path, fmt.Sprintf("the fake has %d, moto %d: %v; %v", len(f), len(m), f, m))
			return
		}
		order(f)
		order(m)
		for i := range f {
			d.compare(fmt.Sprintf("%s[%d]", path, i), f[i], m[i])
		}
	default:
		if at(path, fake) {
			return
		}
		d.compared++
		if fake != moto {
			d.report(path, fmt.Sprintf("the fake says %v, moto %v", fake, moto))
		}
	}
}

func (d *difference) report(path, text string) {
	plain := index.ReplaceAllString(path, "")
	for known := range d.known {
		if strings.HasSuffix(plain, known) {
			d.met[known] = true
			return
		}
	}
	d.wrong = append(d.wrong, plain+": "+text)
}

func empty(v any) bool {
	switch x := v.(type) {
	case nil:
		return true
	case string:
		return x == ""
	case []any:
		return len(x) == 0
	}
	return false
}

// at: times are each side's own.
func at(_ string, v any) bool {
	s, ok := v.(string)
	if !ok {
		return false
	}
	_, err := time.Parse(time.RFC3339, s)
	return err == nil
}

// order makes lists comparable whose order AWS does not promise.
func order(list []any) {
	key := func(v any) string {
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Sprint(v)
		}
		for _, k := range []string{"Key", "AvailabilityZone", "SubnetId", "ProcessName", "TargetGroupArn", "TargetGroupName", "AutoScalingGroupName", "Location", "VersionNumber", "Priority"} {
			if x, ok := m[k].(string); ok {
				return x
			}
		}
		return ""
	}
	slices.SortStableFunc(list, func(a, b any) int { return strings.Compare(key(a), key(b)) })
}
