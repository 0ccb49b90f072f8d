// Package cloud is what `godwit aws` does: it renders, plans, applies, bakes and
// rolls out a landscape on AWS. It needs no engine: what is there is in AWS, in
// Terraform's states and in the journals beside them, so that any machine with
// credentials may act, and go on with what another began.
//
// Its nouns: a Cloud is a landscape in one account and region; a book is the
// journal of a service's rollouts, kept in the state bucket under a lease.
//
// The command line imports it.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/tofu"
)

// Options of a Cloud.
type Options struct {
	Landscape  *landscape.Landscape
	Dir        string // the landscape's directory
	State      string // godwit's state directory: images, what was rendered
	Endpoint   tofu.Endpoint
	Sink       api.Sink
	DatabaseCA string                                                     // file with RDS's certificate authorities; "": connections are only encrypted
	Clients    *aws.Clients                                               // nil: those of AWS, or of the endpoint
	Resolve    func(ctx context.Context, host string) (netip.Addr, error) // nil: the system's resolver
}

// Cloud is a landscape in one account and region.
type Cloud struct {
	Options
	config awssdk.Config
	site   *aws.Site
}

// Open reads the credentials as every tool for AWS does: environment, profile,
// SSO, instance. It asks nothing of AWS yet.
func Open(ctx context.Context, o Options) (*Cloud, error) {
	if o.Landscape.AWS == nil {
		return nil, api.Fail(api.Usage, `the landscape says nothing of AWS: add aws { region = "eu-central-1" … }`)
	}
	if err := o.Endpoint.Check(); err != nil {
		return nil, api.Fail(api.Usage, "%v", err)
	}
	region := o.Landscape.AWS.Region
	cfg, err := aws.Connect(ctx, region, string(o.Endpoint), aws.Access{})
	if err != nil {
		return nil, err
	}
	if other := os.Getenv("AWS_REGION"); other != "" && other != region {
		o.Sink.Note("aws", "region", fmt.Sprintf("AWS_REGION is %s; the landscape is in %s, which counts", other, region))
	}
	clients := aws.NewClients(cfg)
	if o.Clients != nil {
		clients = *o.Clients
	}
	c := &Cloud{Options: o, config: cfg}
	c.site = aws.New(clients, aws.Options{Landscape: o.Landscape, Region: region, Resolve: o.Resolve, DatabaseCA: o.DatabaseCA})
	return c, nil
}

// environments are the one named, or all.
func (c *Cloud) environments(name string) ([]landscape.Environment, error) {
	if name == "" {
		return c.Landscape.Environments, nil
	}
	e, err := c.environment(name)
	return []landscape.Environment{e}, err
}

func (c *Cloud) environment(name string) (landscape.Environment, error) {
	e, ok := c.Landscape.Environment(name)
	if !ok {
		return e, api.Fail(api.Missing, "the landscape declares no environment %q", name)
	}
	return e, nil
}

func (c *Cloud) service(name string) (landscape.Service, error) {
	s, ok := c.Landscape.Service(name)
	if !ok {
		return s, api.Fail(api.Missing, "the landscape declares no service %q", name)
	}
	return s, nil
}

// fail gives an error of AWS or Terraform the code that decides the exit status.
func fail(err error) error {
	var f *api.Failure
	var running *tofu.RunningError
	switch {
	case err == nil || errors.As(err, &f) || errors.As(err, &running):
		return err
	case errors.Is(err, tofu.ErrBusy):
		return &api.Failure{Code: api.Busy, Message: err.Error()}
	case errors.Is(err, tofu.ErrProgram), errors.Is(err, tofu.ErrRoot), errors.Is(err, tofu.ErrEndpoint), errors.Is(err, tofu.ErrWhole):
		return &api.Failure{Code: api.Usage, Message: err.Error()}
	case errors.Is(err, tofu.ErrProtected):
		return &api.Failure{Code: api.Refused, Message: err.Error()}
	}
	return aws.Explain(err)
}
