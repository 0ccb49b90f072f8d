package tofu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Endpoint is the address of what stands in for AWS, for all its services; "" is AWS itself.
type Endpoint string

// ErrEndpoint: an endpoint that will not do.
var ErrEndpoint = errors.New("invalid endpoint")

// Check says whether an endpoint may be used: credentials are sent there, so
// without TLS only this machine may be named, by its address.
func (e Endpoint) Check() error {
	if e == "" {
		return nil
	}
	u, err := url.Parse(string(e))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("%w: %q is not scheme://host:port: write http://127.0.0.1:5000", ErrEndpoint, string(e))
	}
	switch u.Scheme {
	case "https":
		return nil
	case "http":
		address, err := netip.ParseAddr(u.Hostname())
		if u.Hostname() == "localhost" || err == nil && address.IsLoopback() {
			return nil
		}
		return fmt.Errorf("%w: %s would send requests signed with your credentials unencrypted over the network: use https, or an address of this machine", ErrEndpoint, e)
	}
	return fmt.Errorf("%w: %s has scheme %q: use http or https", ErrEndpoint, e, u.Scheme)
}

// providerServices are the names, in the AWS provider's endpoints block, of all
// services that what godwit renders uses.
var providerServices = []string{
	"accessanalyzer", "acm", "applicationautoscaling", "autoscaling", "cloudtrail", "cloudwatch", "ec2", "elbv2", "events", "guardduty", "iam", "kms", "lambda",
	"logs", "rds", "route53", "s3", "s3control", "secretsmanager", "sns", "sqs", "ssm", "sts", "wafv2",
}

// override changes what is rendered for as long as godwit works on it. An
// override file is what Terraform itself has for this; without anything to
// change there is none.
func (d *Driver) override(r Root, local bool) error {
	over := map[string]any{}
	if local {
		over["terraform"] = map[string]any{"backend": map[string]any{"local": map[string]any{"path": localState}}}
	}
	if d.Endpoint != "" {
		providers, err := awsProviders(r)
		if err != nil {
			return err
		}
		if len(providers) > 0 {
			over["provider"] = map[string]any{"aws": d.standIns(providers)}
		}
	}
	if len(over) == 0 {
		return r.remove(overrideFile)
	}
	over["//"] = "Written by godwit for the time of a run, and rewritten or removed by the next; safe to delete."
	b, err := json.MarshalIndent(over, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if old, err := r.read(overrideFile); err == nil && bytes.Equal(old, b) {
		return nil
	}
	return writePrivate(r.file(overrideFile), b)
}

func (d *Driver) standIns(aliases []string) []any {
	endpoints := map[string]any{}
	for _, service := range providerServices {
		endpoints[service] = string(d.Endpoint)
	}
	var all []any
	for _, alias := range aliases {
		p := map[string]any{
			"endpoints":                   []any{endpoints},
			"s3_use_path_style":           true,
			"skip_credentials_validation": true,
			"skip_metadata_api_check":     true,
			"skip_region_validation":      true,
			"skip_requesting_account_id":  false,
		}
		if alias != "" {
			p["alias"] = alias
		}
		all = append(all, p)
	}
	return all
}

// awsProviders are the aliases of the AWS provider's configurations in a root,
// "" for the one without: an override must find what it overrides.
func awsProviders(r Root) ([]string, error) {
	names, err := filepath.Glob(r.file("*.tf"))
	if err != nil {
		return nil, err
	}
	var aliases []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, diags := hclsyntax.ParseConfig(text, filepath.Base(name), hcl.InitialPos)
		if diags.HasErrors() {
			return nil, fmt.Errorf("%s: %w", name, diags)
		}
		for _, block := range file.Body.(*hclsyntax.Body).Blocks {
			if block.Type != "provider" || len(block.Labels) != 1 || block.Labels[0] != "aws" {
				continue
			}
			alias := ""
			if a, ok := block.Body.Attributes["alias"]; ok {
				v, diags := a.Expr.Value(nil)
				if diags.HasErrors() {
					return nil, fmt.Errorf("%s: %w", name, diags)
				}
				alias = v.AsString()
			}
			aliases = append(aliases, alias)
		}
	}
	slices.Sort(aliases)
	return slices.Compact(aliases), nil
}
