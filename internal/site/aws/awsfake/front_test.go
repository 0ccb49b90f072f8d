package awsfake_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/internal/site/aws/awsfake"
)

// fronts are calls about what clients reach.
func fronts() []step {
	listener := func(port int32, certificates ...elbtypes.Certificate) func(*side) (any, error) {
		return func(s *side) (any, error) {
			return s.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: s.id("lb"), Port: &port, Protocol: elbtypes.ProtocolEnumHttps, Certificates: certificates,
				DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{StatusCode: sdk.String("404")}}}})
		}
	}
	certificate := elbtypes.Certificate{CertificateArn: sdk.String("arn:aws:iam::123456789012:server-certificate/till")}
	return []step{
		{name: "CreateListener by HTTPS", do: listener(443, certificate)},
		{name: "CreateListener by HTTPS without a certificate", do: listener(444), code: "ValidationError", why: "moto takes it, AWS wants a certificate"},
		{name: "DescribeListeners by HTTPS", do: func(s *side) (any, error) {
			out, err := s.LoadBalancing.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: s.id("lb")})
			if err != nil {
				return nil, err
			}
			return slices.DeleteFunc(out.Listeners, func(l elbtypes.Listener) bool { return *l.Port != 443 }), nil
		}},
	}
}

// masters are calls about a database whose master user's password RDS keeps.
func masters() []step {
	id := sdk.String("bistro-test-menu")
	create := func(s *side) (any, error) {
		_, err := s.rds.CreateDBInstance(ctx, &rds.CreateDBInstanceInput{DBInstanceIdentifier: id, Engine: sdk.String("postgres"), DBName: sdk.String("menu"),
			DBInstanceClass: sdk.String("db.t4g.small"), MasterUsername: sdk.String("godwit"), ManageMasterUserPassword: sdk.Bool(true), AllocatedStorage: sdk.Int32(20)})
		return nil, err
	}
	describe := func(s *side) (any, error) {
		out, err := s.RDS.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: id})
		if err == nil {
			s.keep("master", out.DBInstances[0].MasterUserSecret.SecretArn)
		}
		return out, err
	}
	own := map[string]string{".Endpoint.Address": "each invents its own name"}
	return []step{
		{name: "CreateDBInstance with a password that RDS keeps", do: create},
		{name: "DescribeDBInstances while it is made", do: func(s *side) (any, error) {
			_, err := s.RDS.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: id})
			return nil, err
		}},
		{name: "DescribeDBInstances with a password that RDS keeps", do: describe, differs: own},
		{name: "GetSecretValue of the master", do: func(s *side) (any, error) {
			out, err := s.SecretsManager.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: s.id("master")})
			if err != nil {
				return nil, err
			}
			values := map[string]string{}
			if err := json.Unmarshal([]byte(*out.SecretString), &values); err != nil {
				return nil, err
			}
			return map[string]any{"Keys": slices.Sorted(maps.Keys(values)), "Stages": out.VersionStages, "Named": strings.HasPrefix(*out.Name, "rds!db-")}, nil
		}},
		{name: "DeleteDBInstance with a password that RDS keeps", do: func(s *side) (any, error) {
			_, err := s.rds.DeleteDBInstance(ctx, &rds.DeleteDBInstanceInput{DBInstanceIdentifier: id, SkipFinalSnapshot: sdk.Bool(true)})
			return nil, err
		}},
		{name: "GetSecretValue of a master that is gone", do: func(s *side) (any, error) {
			return s.SecretsManager.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: s.id("master")})
		}},
	}
}

// TestStandIns: what a test has stand for AWS's own is what everybody finds, in
// what is described and in the secret.
func TestStandIns(t *testing.T) {
	t.Parallel()
	s := newScene(t, awsfake.Options{})
	for _, err := range []error{s.cloud.SetDNSName("unknown", "127.0.0.1"), s.cloud.SetEndpoint("unknown", "127.0.0.1", 1), s.cloud.SetMaster("unknown", "a", "b")} {
		if code(err) == "" {
			t.Errorf("nothing has that name, and the answer is %v", err)
		}
	}
	s.ok(s.cloud.SetDNSName("lb", "127.0.0.7"))
	b, err := s.cloud.LoadBalancing().DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{"lb"}})
	s.ok(err)
	if got := *b.LoadBalancers[0].DNSName; got != "127.0.0.7" {
		t.Errorf("its DNS name is %s", got)
	}
	_, err = s.cloud.RDS().CreateDBInstance(ctx, &rds.CreateDBInstanceInput{DBInstanceIdentifier: sdk.String("till"), MasterUsername: sdk.String("godwit"), MasterUserPassword: sdk.String("of-a-test-only")})
	s.ok(err)
	s.clock.Step(time.Minute)
	if at, _ := s.server("till"); at != "till.fake.eu-central-1.rds.amazonaws.com:5432" {
		t.Errorf("untouched, it is at %s", at)
	}
	s.ok(s.cloud.SetEndpoint("till", "127.0.0.8", 15432))
	for _, password := range []string{"first", "rotated"} {
		s.ok(s.cloud.SetMaster("till", "root", password))
		if at, master := s.server("till"); at != "127.0.0.8:15432" || master != `{"password":"`+password+`","username":"root"}` {
			t.Errorf("it is at %s, and its master is %s", at, master)
		}
	}
}

// TestMasterPassword: it is RDS's or it is one's own, never both.
func TestMasterPassword(t *testing.T) {
	t.Parallel()
	_, err := awsfake.New(awsfake.Options{}).RDS().CreateDBInstance(ctx, &rds.CreateDBInstanceInput{DBInstanceIdentifier: sdk.String("till"),
		MasterUsername: sdk.String("godwit"), MasterUserPassword: sdk.String("of-a-test-only"), ManageMasterUserPassword: sdk.Bool(true)})
	if code(err) != "InvalidParameterCombination" {
		t.Errorf("%v", err)
	}
}

// server is where a database is, and the secret of its master; "" when there is none.
func (s *scene) server(id string) (at, master string) {
	s.t.Helper()
	out, err := s.cloud.RDS().DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &id})
	s.ok(err)
	d := out.DBInstances[0]
	at = net.JoinHostPort(*d.Endpoint.Address, fmt.Sprint(*d.Endpoint.Port))
	if d.MasterUserSecret == nil {
		return at, ""
	}
	value, err := s.cloud.SecretsManager().GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: d.MasterUserSecret.SecretArn})
	s.ok(err)
	return at, *value.SecretString
}
