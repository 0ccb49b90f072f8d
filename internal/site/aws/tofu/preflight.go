package tofu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"godwit/internal/landscape"
)

// Offers says what a region has: zones, instance types, database classes.
type Offers interface {
	DescribeAvailabilityZones(context.Context, *ec2.DescribeAvailabilityZonesInput, ...func(*ec2.Options)) (*ec2.DescribeAvailabilityZonesOutput, error)
	DescribeInstanceTypeOfferings(context.Context, *ec2.DescribeInstanceTypeOfferingsInput, ...func(*ec2.Options)) (*ec2.DescribeInstanceTypeOfferingsOutput, error)
}

// DatabaseOffers says which database classes a region has.
type DatabaseOffers interface {
	DescribeOrderableDBInstanceOptions(context.Context, *rds.DescribeOrderableDBInstanceOptionsInput, ...func(*rds.Options)) (*rds.DescribeOrderableDBInstanceOptionsOutput, error)
}

// Preflight is what is asked before anything is planned.
type Preflight struct {
	Identity  Identity
	Offers    Offers
	Databases DatabaseOffers
	Region    string // that the credentials and clients are for
}

// Check asks AWS whether it can give what is declared: every finding has its
// mend. environment "" is all of them. Findings that say what is wrong are
// errors; where AWS does not let us ask, the finding is a warning, for the plan
// will show it.
func (p Preflight) Check(ctx context.Context, l *landscape.Landscape, environment string) (landscape.Findings, error) {
	if l.AWS == nil {
		return landscape.Findings{finding(landscape.Error, "the landscape says nothing of AWS", "add an aws { region = … } block")}, nil
	}
	if _, err := Identify(ctx, p.Identity, l.Name, l.AWS.Region); err != nil {
		return found("credentials", err)
	}
	if p.Region != l.AWS.Region {
		return landscape.Findings{finding(landscape.Error, fmt.Sprintf("the landscape is declared for region %s, and AWS is asked in %s", l.AWS.Region, p.Region),
			"unset AWS_REGION, or set it to "+l.AWS.Region)}, nil
	}
	zones, fs, err := p.zones(ctx, l)
	if err != nil || len(zones) == 0 {
		return fs, err
	}
	instances, err := p.instances(ctx, wantedInstances(l, environment), zones, l.AWS.Zones)
	if err != nil {
		return nil, err
	}
	fs = append(fs, instances...)
	databases, err := p.databases(ctx, l, environment)
	return append(fs, databases...), err
}

func finding(s landscape.Severity, summary, mend string) landscape.Finding {
	return landscape.Finding{Severity: s, Summary: summary, Mend: mend}
}

// found makes a finding of an answer; only an interrupt is an error.
func found(what string, err error) (landscape.Findings, error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	var p Problem
	if !errors.As(explain(what, err), &p) {
		return nil, err
	}
	var inner Problem
	if errors.As(err, &inner) {
		p = inner
	}
	severity := landscape.Error
	if errors.Is(p.Kind, ErrDenied) {
		severity = landscape.Warning
	}
	return landscape.Findings{finding(severity, p.Summary+": "+p.Detail, p.Mend)}, nil
}

// zones are those of the region that the account may use: what is rendered asks the same.
func (p Preflight) zones(ctx context.Context, l *landscape.Landscape) ([]string, landscape.Findings, error) {
	out, err := p.Offers.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{
		Filters: []ec2types.Filter{{Name: aws.String("state"), Values: []string{"available"}}, {Name: aws.String("opt-in-status"), Values: []string{"opt-in-not-required"}}},
	})
	if err != nil {
		fs, err := found("ask for the zones of "+l.AWS.Region, err)
		return nil, fs, err
	}
	var zones []string
	for _, z := range out.AvailabilityZones {
		zones = append(zones, aws.ToString(z.ZoneName))
	}
	slices.Sort(zones)
	if len(zones) < l.AWS.Zones {
		return nil, landscape.Findings{finding(landscape.Error, fmt.Sprintf("region %s has %d zones for this account, and %d are declared", l.AWS.Region, len(zones), l.AWS.Zones),
			fmt.Sprintf("declare zones = %d, or another region", max(2, len(zones))))}, nil
	}
	return zones, nil, nil
}

func inScope(l *landscape.Landscape, environment string) []string {
	var names []string
	for _, e := range l.Environments {
		if environment == "" || e.Name == environment {
			names = append(names, e.Name)
		}
	}
	return names
}

// wantedInstances are the instance types, and who wants each.
func wantedInstances(l *landscape.Landscape, environment string) map[string]string {
	wanted := map[string]string{}
	for _, e := range inScope(l, environment) {
		for _, s := range l.Services {
			t := l.AWS.Service(e, s.Name).Instance
			if _, known := wanted[t]; !known {
				wanted[t] = "service " + s.Name + " in " + e
			}
		}
	}
	return wanted
}

// instances: what is rendered uses the first zones by name, so these must offer each type.
func (p Preflight) instances(ctx context.Context, wanted map[string]string, zones []string, used int) (landscape.Findings, error) {
	types := sortedKeys(wanted)
	if len(types) == 0 {
		return nil, nil
	}
	offered := map[string][]string{}
	in := &ec2.DescribeInstanceTypeOfferingsInput{LocationType: ec2types.LocationTypeAvailabilityZone,
		Filters: []ec2types.Filter{{Name: aws.String("instance-type"), Values: types}}}
	pages := ec2.NewDescribeInstanceTypeOfferingsPaginator(p.Offers, in)
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return found("ask which zones offer "+strings.Join(types, ", "), err)
		}
		for _, o := range out.InstanceTypeOfferings {
			t := string(o.InstanceType)
			offered[t] = append(offered[t], aws.ToString(o.Location))
		}
	}
	var fs landscape.Findings
	for _, t := range types {
		slices.Sort(offered[t])
		missing := slices.DeleteFunc(slices.Clone(zones[:min(used, len(zones))]), func(z string) bool { return slices.Contains(offered[t], z) })
		switch {
		case len(offered[t]) == 0:
			fs = append(fs, finding(landscape.Error, fmt.Sprintf("instance type %s, which %s wants, is offered in no zone of this region", t, wanted[t]),
				"look for a mistake in its name, or declare another in aws { instance = … }"))
		case len(missing) > 0:
			fs = append(fs, finding(landscape.Error, fmt.Sprintf("instance type %s, which %s wants, is not offered in %s (but in %s)", t, wanted[t],
				strings.Join(missing, ", "), strings.Join(offered[t], ", ")),
				"declare another instance type in aws { instance = … }, or fewer zones"))
		}
	}
	return fs, nil
}

// databases asks whether the classes are offered with a standby in a second zone.
func (p Preflight) databases(ctx context.Context, l *landscape.Landscape, environment string) (landscape.Findings, error) {
	if len(l.Databases) == 0 {
		return nil, nil
	}
	wanted := map[string]string{}
	for _, e := range inScope(l, environment) {
		if class := l.AWS.In(e).Database; wanted[class] == "" {
			wanted[class] = e
		}
	}
	var fs landscape.Findings
	for _, class := range sortedKeys(wanted) {
		offered, standby, err := p.offered(ctx, class)
		if err == nil && !offered {
			// Nothing at all is not what AWS answers: whoever is asked does not know.
			var any bool
			if any, _, err = p.offered(ctx, ""); err == nil && !any {
				fs = append(fs, finding(landscape.Warning, "it cannot be found out whether database class "+class+" is offered", "look it up, or see what apply says"))
				continue
			}
		}
		switch {
		case err != nil:
			more, err := found("ask whether "+class+" is offered", err)
			return append(fs, more...), err
		case !offered:
			fs = append(fs, finding(landscape.Error, fmt.Sprintf("database class %s, which %s wants, is not offered for Postgres in this region", class, wanted[class]),
				"declare another in aws { database = … }, such as db.t4g.medium"))
		case !standby:
			fs = append(fs, finding(landscape.Error, fmt.Sprintf("database class %s, which %s wants, is offered without a standby in a second zone only", class, wanted[class]),
				"declare another in aws { database = … }, such as db.t4g.medium"))
		}
	}
	return fs, nil
}

// offered says whether a class is there for Postgres, and with a standby; "" is any.
func (p Preflight) offered(ctx context.Context, class string) (offered, standby bool, err error) {
	in := &rds.DescribeOrderableDBInstanceOptionsInput{Engine: aws.String("postgres")}
	if class != "" {
		in.DBInstanceClass = &class
	}
	pages := rds.NewDescribeOrderableDBInstanceOptionsPaginator(p.Databases, in)
	for pages.HasMorePages() && !standby {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return false, false, err
		}
		for _, o := range out.OrderableDBInstanceOptions {
			if class == "" || aws.ToString(o.DBInstanceClass) == class {
				offered = true
				standby = standby || aws.ToBool(o.MultiAZCapable)
			}
		}
	}
	return offered, standby, nil
}
