package tofu

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/awstest"
)

func declared() *landscape.Landscape {
	return &landscape.Landscape{Name: "bistro", Environments: []landscape.Environment{{Name: "test", Network: netip.MustParsePrefix("10.0.0.0/16")}},
		Services: []landscape.Service{{Name: "till"}}, Databases: []landscape.Database{{Name: "till", Engine: "postgres"}},
		AWS: &landscape.AWS{Region: awstest.Region, Zones: 2, Sizing: landscape.Sizing{Instance: "t3.small", Database: "db.t3.medium", Storage: 20}}}
}

// TestPreflight asks the emulator, which knows the real offers of regions.
func TestPreflight(t *testing.T) {
	t.Parallel()
	cfg := awstest.StartMoto(t).Config(t)
	p := Preflight{Identity: sts.NewFromConfig(cfg), Offers: ec2.NewFromConfig(cfg), Databases: classes{"db.t3.medium": true, "db.single": false}, Region: awstest.Region}
	for name, c := range map[string]struct {
		change func(l *landscape.Landscape, p *Preflight)
		says   []string
	}{
		"all is well":        {func(*landscape.Landscape, *Preflight) {}, nil},
		"no such type":       {func(l *landscape.Landscape, _ *Preflight) { l.AWS.Instance = "t9.huge" }, []string{"t9.huge, which service till in test wants, is offered in no zone"}},
		"not in every zone":  {func(l *landscape.Landscape, _ *Preflight) { l.AWS.Instance, l.AWS.Zones = "a1.large", 3 }, []string{"a1.large, which service till in test wants, is not offered in eu-central-1c (but in eu-central-1a, eu-central-1b)"}},
		"too many zones":     {func(l *landscape.Landscape, _ *Preflight) { l.AWS.Zones = 4 }, []string{"has 3 zones for this account, and 4 are declared"}},
		"no such class":      {func(l *landscape.Landscape, _ *Preflight) { l.AWS.Database = "db.huge" }, []string{"database class db.huge, which test wants, is not offered"}},
		"without a standby":  {func(l *landscape.Landscape, _ *Preflight) { l.AWS.Database = "db.single" }, []string{"without a standby"}},
		"nobody knows":       {func(_ *landscape.Landscape, p *Preflight) { p.Databases = rds.NewFromConfig(cfg) }, []string{"cannot be found out whether database class db.t3.medium"}},
		"another region":     {func(_ *landscape.Landscape, p *Preflight) { p.Region = "eu-west-1" }, []string{"declared for region eu-central-1, and AWS is asked in eu-west-1"}},
		"nothing of AWS":     {func(l *landscape.Landscape, _ *Preflight) { l.AWS = nil }, []string{"says nothing of AWS"}},
		"no credentials":     {func(_ *landscape.Landscape, p *Preflight) { p.Identity = nobody{"InvalidClientTokenId"} }, []string{"no credentials that AWS accepts"}},
		"expired":            {func(_ *landscape.Landscape, p *Preflight) { p.Identity = nobody{"ExpiredToken"} }, []string{"have expired"}},
		"not allowed to ask": {func(_ *landscape.Landscape, p *Preflight) { p.Offers = mute{p.Offers} }, []string{"not allow it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, p := declared(), p
			c.change(l, &p)
			fs, err := p.Check(t.Context(), l, "")
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			for _, f := range fs {
				all.WriteString(string(f.Severity) + " " + f.Summary + "\n")
				if f.Mend == "" {
					t.Errorf("no mend: %+v", f)
				}
				if (f.Severity == landscape.Warning) != (name == "not allowed to ask" || name == "nobody knows") {
					t.Errorf("severity of %+v", f)
				}
			}
			for _, want := range c.says {
				if !strings.Contains(all.String(), want) {
					t.Errorf("%q is not in:\n%s", want, all.String())
				}
			}
			if (len(fs) == 0) != (c.says == nil) {
				t.Errorf("findings:\n%s", all.String())
			}
		})
	}
}

type nobody struct{ code string }

func (n nobody) GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error) {
	return nil, &smithy.GenericAPIError{Code: n.code, Message: "no"}
}

// classes that there are, and whether with a standby. The emulator knows none of Postgres.
type classes map[string]bool

func (c classes) DescribeOrderableDBInstanceOptions(_ context.Context, in *rds.DescribeOrderableDBInstanceOptionsInput, _ ...func(*rds.Options)) (*rds.DescribeOrderableDBInstanceOptionsOutput, error) {
	out := &rds.DescribeOrderableDBInstanceOptionsOutput{}
	for name, standby := range c {
		if in.DBInstanceClass == nil || *in.DBInstanceClass == name {
			out.OrderableDBInstanceOptions = append(out.OrderableDBInstanceOptions, rdstypes.OrderableDBInstanceOption{DBInstanceClass: &name, MultiAZCapable: &standby})
		}
	}
	return out, nil
}

type mute struct{ Offers }

func (mute) DescribeInstanceTypeOfferings(context.Context, *ec2.DescribeInstanceTypeOfferingsInput, ...func(*ec2.Options)) (*ec2.DescribeInstanceTypeOfferingsOutput, error) {
	return nil, &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation."}
}
