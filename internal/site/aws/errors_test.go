package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"godwit/internal/site"
)

func says(code, message string) error {
	return &smithy.OperationError{ServiceID: "Auto Scaling", OperationName: "UpdateAutoScalingGroup",
		Err: &smithy.GenericAPIError{Code: code, Message: message}}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		kind Kind
		says string // in its text
		is   error
	}{
		{says("ExpiredToken", "The security token included in the request is expired"), KindExpired, "aws sso login", nil},
		{says("RequestExpired", "Request has expired."), KindExpired, "goes on where it stopped", nil},
		{says("AuthFailure", "AWS was not able to validate the provided access credentials"), KindIdentity, "region", nil},
		{says("UnrecognizedClientException", "The security token included in the request is invalid."), KindIdentity, "account", nil},
		{says("AccessDenied", "User: arn:aws:sts::1:assumed-role/dev/x is not authorized to perform: autoscaling:UpdateAutoScalingGroup on resource: y because no policy allows the autoscaling:UpdateAutoScalingGroup action"),
			KindDenied, "allow autoscaling:UpdateAutoScalingGroup in", nil},
		{says("UnauthorizedOperation", "You are not authorized to perform this operation."), KindDenied, "allow Auto Scaling UpdateAutoScalingGroup in", nil},
		{says("Throttling", "Rate exceeded"), KindThrottled, "wait a minute", nil},
		{says("RequestLimitExceeded", "Request limit exceeded."), KindThrottled, "several attempts", nil},
		{says("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of 32 allows"), KindQuota, "Service Quotas", nil},
		{says("TooManyTargets", "x"), KindQuota, "Service Quotas", nil},
		{says("InsufficientInstanceCapacity", "We currently do not have sufficient t3.small capacity"), KindCapacity, "another instance type", nil},
		{says("InvalidLaunchTemplateName.NotFoundException", "At least one of the launch templates specified in the request does not exist."), KindMissing, "godwit aws apply", site.ErrNotFound},
		{says("TargetGroupNotFound", "x"), KindMissing, "godwit aws apply", site.ErrNotFound},
		{says("DBInstanceNotFound", "x"), KindMissing, "godwit aws apply", site.ErrNotFound},
		{says("ValidationError", "AutoScalingGroup name not found - null"), KindMissing, "godwit aws apply", site.ErrNotFound},
		{says("ValidationError", "1 validation error detected"), KindRequest, "godwit aws plan", nil},
		{says("InternalFailure", "x"), KindOther, "InternalFailure: x", nil},
		{fmt.Errorf("x: %w", &net.DNSError{Name: "autoscaling.eu-centrl-1", Err: "no such host"}), KindUnreachable, "the region's name", nil},
		{errors.New("failed to refresh cached credentials, no EC2 IMDS role found"), KindCredentials, "AWS_PROFILE", nil},
		{errors.New("get identity: get credentials: the SSO session has expired or is invalid"), KindExpired, "aws sso login", nil},
	} {
		err := explain("testing", c.err)
		var e *Error
		if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "testing: ") {
			t.Errorf("%v\nbecomes %+v\n%v", c.err, e, err)
		}
		for _, meaning := range []error{site.ErrNotFound, site.ErrInvalid, site.ErrUnready} {
			if errors.Is(err, meaning) != (meaning == c.is) {
				t.Errorf("%v means %v: %v", c.err, meaning, errors.Is(err, meaning))
			}
		}
		if again := explain("once more", err); again != err {
			t.Errorf("explained twice: %v", again)
		}
	}
	plain := errors.New("a plain error")
	if Explain(plain) != plain || Explain(nil) != nil || !errors.Is(explain("x", context.Canceled), context.Canceled) {
		t.Error("what is none of AWS's has changed")
	}
}

// TestCannot: what AWS says of launches that it could not make, in its own words.
func TestCannot(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]Kind{
		"We currently do not have sufficient t3.small capacity in the Availability Zone you requested (eu-central-1a). Our system will be working on provisioning additional capacity.":   KindCapacity,
		"You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket that the specified instance type belongs to.":                            KindQuota,
		"Your requested instance type (t9.small) is not supported in your requested Availability Zone (eu-central-1c). Please retry your request by not specifying an Availability Zone.": KindOffering,
		"The image id '[ami-1]' does not exist. Launching EC2 instance failed.":                                                                                                           KindMissing,
		"Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state. Launching EC2 instance failed.":                                                                KindDenied,
		"You are not authorized to use launch template: lt-1. Launching EC2 instance failed.":                                                                                             KindDenied,
		"There are not enough free addresses in subnet 'subnet-1' to satisfy the requested number of instances. Launching failed.":                                                        KindQuota,
		"Something else.": KindOther,
	} {
		if got := cannot(message); got != want {
			t.Errorf("%s is %s, want %s", message, got, want)
		}
	}
}

// TestNoCredentials: the SDK itself, without any.
func TestNoCredentials(t *testing.T) {
	t.Parallel()
	cfg := aws.Config{Region: "eu-central-1", BaseEndpoint: aws.String("http://127.0.0.1:1"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no EC2 IMDS role found")
		})}
	_, err := NewClients(cfg).STS.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	var e *Error
	if !errors.As(explain("asking", err), &e) || e.Kind != KindCredentials {
		t.Errorf("%v is %+v", err, e)
	}
}

// TestUnreachable: the SDK itself, where nobody listens.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	cfg := aws.Config{Region: "eu-central-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}
	_, err := NewClients(cfg).STS.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	var e *Error
	if !errors.As(explain("asking", err), &e) || e.Kind != KindUnreachable || !e.Retryable() {
		t.Errorf("%v is %+v", err, e)
	}
}
