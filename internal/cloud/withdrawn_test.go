package cloud_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"godwit/internal/api"
	"godwit/internal/cloud"
	"godwit/internal/landscape"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
	"godwit/internal/site/aws/tofu"
	"godwit/internal/testtool"
)

// withoutTill is the bistro once the till has left it, and said what it is told.
func withoutTill() (*landscape.Landscape, *[]string, api.Sink) {
	l := bistro()
	l.Services, l.Ingresses = nil, nil
	var said []string
	return l, &said, api.Sink{Row: func(any) {}, Event: func(e api.Event) {
		if e.State == "note" {
			said = append(said, e.Scope+": "+e.Message)
		}
	}}
}

// served is AWS where a release of the till is, and where time stands still.
func served(t *testing.T) *awsfake.Cloud {
	t.Helper()
	c := awsfake.New(awsfake.Options{Clock: awsfake.NewStepper().Now})
	apply(t, c)
	group := scope.Group("till", convention.Blue)
	if _, err := c.AutoScaling().CreateOrUpdateTags(context.Background(), &autoscaling.CreateOrUpdateTagsInput{Tags: []types.Tag{{ResourceId: &group,
		ResourceType: sdk.String("auto-scaling-group"), Key: sdk.String(convention.TagRelease), Value: sdk.String("1"), PropagateAtLaunch: sdk.Bool(true)}}}); err != nil {
		t.Fatal(err)
	}
	return c
}

func of(c *awsfake.Cloud) *aws.Clients {
	return &aws.Clients{AutoScaling: c.AutoScaling(), EC2: c.EC2(), LoadBalancing: c.LoadBalancing(), CloudWatch: c.CloudWatch(), RDS: c.RDS(),
		SecretsManager: c.SecretsManager(), S3: c.S3(), STS: c.STS()}
}

const warned = "service till is not declared any more, and a release of it still runs"

// TestStatusTellsOfWithdrawnServices: what no landscape declares still runs.
func TestStatusTellsOfWithdrawnServices(t *testing.T) {
	t.Parallel()
	fake := served(t)
	l, said, sink := withoutTill()
	if _, err := openAll(t, l, *of(fake), sink).Status(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(*said, "\n"); !strings.Contains(text, "test: "+warned) || !strings.Contains(text, "godwit aws apply --env test") {
		t.Errorf("it said %q", text)
	}
	*said = nil
	declared := openAll(t, bistro(), *of(fake), sink)
	if _, err := declared.Status(context.Background(), ""); err != nil || len(*said) > 0 {
		t.Errorf("of a service that is declared: %q, %v", *said, err)
	}
}

// TestPlanTellsOfWithdrawnServices: whoever applies is told before Terraform
// begins; here it cannot.
func TestPlanTellsOfWithdrawnServices(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tofu")
	testtool.Write(t, program, "#!/bin/sh\n[ \"$1\" = version ] && echo '{\"terraform_version\": \"1.10.0\"}' && exit\nexit 1\n")
	t.Setenv("GODWIT_TOFU", program)
	fake, m := served(t), awstest.StartMoto(t)
	l, said, sink := withoutTill()
	c, err := cloud.Open(t.Context(), cloud.Options{Landscape: l, Sink: sink, Clients: of(fake), Endpoint: tofu.Endpoint(m.URL)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Plan(t.Context(), t.TempDir(), tofu.EnvironmentRoot("test"), tofu.PlanOptions{}); err == nil {
		t.Error("it planned without Terraform")
	}
	if text := strings.Join(*said, "\n"); !strings.Contains(text, "test: "+warned) {
		t.Errorf("it said %q", text)
	}
}
