package cost

import (
	"errors"
	"flag"
	"math"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"godwit/internal/landscape"
)

var update = flag.Bool("update", false, "write golden files anew")

// bistro is a landscape like the reference, in short.
func bistro() *landscape.Landscape {
	database := func(name string) landscape.Ref { return landscape.Ref{Kind: "database", Name: name} }
	service := func(name string, most int, needs ...landscape.Ref) landscape.Service {
		return landscape.Service{Name: name, Port: 8080, Scale: landscape.Scale{Min: 2, Max: most}, Needs: needs}
	}
	return &landscape.Landscape{
		Name: "bistro",
		Environments: []landscape.Environment{
			{Name: "test", Network: netip.MustParsePrefix("10.10.0.0/16")},
			{Name: "production", Network: netip.MustParsePrefix("10.30.0.0/16"), Protected: true},
		},
		Services: []landscape.Service{
			service("till", 10, database("till"), landscape.Ref{Kind: "service", Name: "menu"}),
			service("menu", 4, database("menu")),
			service("kitchen", 4, database("till")),
		},
		Databases: []landscape.Database{{Name: "till", Engine: "postgres"}, {Name: "menu", Engine: "postgres"}},
		Ingresses: []landscape.Ingress{{Name: "till", Host: "till.bistro.example", Service: "till"}, {Name: "menu", Host: "menu.bistro.example", Service: "menu"},
			{Name: "kitchen", Host: "kitchen.bistro.example", Service: "kitchen"}},
		Shield: landscape.Shield{Rate: 2000, Rules: []landscape.ShieldRules{landscape.RulesCommon, landscape.RulesSQL}},
		AWS: &landscape.AWS{Region: "eu-central-1", Domain: "bistro.example", Zones: 2,
			Sizing: landscape.Sizing{Instance: "t3.small", Database: "db.t4g.medium", Storage: 20, NAT: landscape.NATNone},
			Environments: []landscape.AWSEnvironment{{Name: "production", Sizing: landscape.Sizing{Instance: "m7g.large", Database: "db.m7g.large", Storage: 100, NAT: landscape.NATZone},
				VPN: &landscape.VPN{Gateway: netip.MustParseAddr("192.0.2.1"), Network: netip.MustParsePrefix("172.16.0.0/16")}}},
		},
	}
}

func prices(t interface{ Fatal(...any) }) Prices {
	p, err := Standard()
	if err == nil {
		err = p.check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGolden(t *testing.T) {
	t.Parallel()
	b, err := Estimate(bistro(), prices(t), Default())
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := b.Text(&got); err != nil {
		t.Fatal(err)
	}
	const name = "testdata/bistro.txt"
	if *update {
		if err := os.WriteFile(name, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the bill has changed (go test -update writes it anew):\n%s", got.String())
	}
}

// drawn is any landscape that has prices.
func drawn(t *rapid.T, p Prices) *landscape.Landscape {
	l := bistro()
	l.AWS.Region = rapid.SampledFrom(p.Regions()).Draw(t, "region")
	l.AWS.Zones = rapid.IntRange(2, 3).Draw(t, "zones")
	nats := []landscape.NAT{landscape.NATNone, landscape.NATSingle, landscape.NATZone}
	instance := rapid.SampledFrom(p.Types("ec2/", l.AWS.Region))
	for i := range l.AWS.Environments {
		e := &l.AWS.Environments[i]
		e.NAT = rapid.SampledFrom(nats).Draw(t, "nat")
		e.Instance = instance.Draw(t, "instance")
		e.Storage = rapid.IntRange(20, 500).Draw(t, "storage")
		if rapid.Bool().Draw(t, "no vpn") {
			e.VPN = nil
		}
	}
	l.AWS.NAT = rapid.SampledFrom(nats).Draw(t, "nat of all")
	for i := range l.Services {
		s := &l.Services[i].Scale
		s.Min = rapid.IntRange(1, 5).Draw(t, "min")
		s.Max = s.Min + rapid.IntRange(0, 10).Draw(t, "more")
		s.Requests = rapid.IntRange(0, 100).Draw(t, "requests")
	}
	l.Databases = l.Databases[:rapid.IntRange(0, 2).Draw(t, "databases")]
	l.Ingresses = l.Ingresses[:rapid.IntRange(0, 3).Draw(t, "ingresses")]
	return l
}

func bill(t *rapid.T, l *landscape.Landscape, p Prices, a Assumptions) Bill {
	b, err := Estimate(l, p, a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSumsAddUp(t *testing.T) {
	t.Parallel()
	p := prices(t)
	rapid.Check(t, func(t *rapid.T) {
		l := drawn(t, p)
		b := bill(t, l, p, Default())
		if !reflect.DeepEqual(b, bill(t, l, p, Default())) {
			t.Error("the same landscape has two bills")
		}
		var least, most Money
		for _, s := range b.Sections {
			var low, high Money
			for _, line := range s.Lines {
				low, high = low+line.Min, high+line.Max
				if line.Min > line.Max || line.Min < 0 || line.Unit == "" || line.Assumed != (line.Source == "") {
					t.Errorf("line %+v", line)
				}
				if off := math.Abs(float64(line.Max)/100 - line.Most*line.Price); off > 0.0051 {
					t.Errorf("%s: %v x %v is not %s", line.Item, line.Most, line.Price, line.Max)
				}
			}
			if low != s.Min || high != s.Max {
				t.Errorf("%s: %s to %s, its lines %s to %s", s.Name, s.Min, s.Max, low, high)
			}
			least, most = least+s.Min, most+s.Max
		}
		if least != b.Min || most != b.Max {
			t.Errorf("%s to %s, its sections %s to %s", b.Min, b.Max, least, most)
		}
	})
}

// TestMoreIsNeverCheaper: whatever there is more of.
func TestMoreIsNeverCheaper(t *testing.T) {
	t.Parallel()
	p := prices(t)
	more := map[string]func(l *landscape.Landscape, a *Assumptions){
		"zones":     func(l *landscape.Landscape, _ *Assumptions) { l.AWS.Zones++ },
		"instances": func(l *landscape.Landscape, _ *Assumptions) { l.Services[0].Scale.Min++; l.Services[0].Scale.Max++ },
		"at most":   func(l *landscape.Landscape, _ *Assumptions) { l.Services[1].Scale.Max++ },
		"storage":   func(l *landscape.Landscape, _ *Assumptions) { l.AWS.Storage += 10; l.AWS.Environments[0].Storage += 10 },
		"rules": func(l *landscape.Landscape, _ *Assumptions) {
			l.Shield.Rules = append(l.Shield.Rules, landscape.RulesAnonymous)
		},
		"databases": func(l *landscape.Landscape, _ *Assumptions) {
			l.Databases = append(l.Databases, landscape.Database{Name: "more"})
		},
		"environments": func(l *landscape.Landscape, _ *Assumptions) {
			l.Environments = append(l.Environments, landscape.Environment{Name: "more"})
		},
		"a NAT per zone": func(l *landscape.Landscape, _ *Assumptions) {
			l.AWS.NAT, l.AWS.Environments[0].NAT = landscape.NATZone, landscape.NATZone
		},
		"requests": func(_ *landscape.Landscape, a *Assumptions) { a.Requests++ },
		"logs":     func(_ *landscape.Landscape, a *Assumptions) { a.LogGB++ },
		"hours":    func(_ *landscape.Landscape, a *Assumptions) { a.Hours += 10 },
	}
	strictly := []string{"zones", "instances", "databases", "environments", "hours", "logs"}
	for name, change := range more {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				l, a := drawn(t, p), Default()
				before := bill(t, l, p, a)
				change(l, &a)
				after := bill(t, l, p, a)
				if after.Min < before.Min || after.Max < before.Max {
					t.Errorf("from %s to %s, then from %s to %s", before.Min, before.Max, after.Min, after.Max)
				}
				if slices.Contains(strictly, name) && after.Max == before.Max {
					t.Errorf("it costs nothing: %s", after.Max)
				}
			})
		})
	}
}

func TestWhatHasNoPrice(t *testing.T) {
	t.Parallel()
	p := prices(t)
	for name, c := range map[string]struct {
		change func(l *landscape.Landscape)
		says   []string
	}{
		"instance type":  {func(l *landscape.Landscape) { l.AWS.Instance = "t9.huge" }, []string{"instance type t9.huge in eu-central-1", "service till of test", "t4g.micro", "--prices FILE", `"ec2/t9.huge"`}},
		"database class": {func(l *landscape.Landscape) { l.AWS.Database = "db.x" }, []string{"database class db.x", "the databases of test", "db.t4g.medium", `"rds/db.x"`}},
		"region":         {func(l *landscape.Landscape) { l.AWS.Region = "xx-north-1" }, []string{"region xx-north-1", "eu-central-1, eu-west-1, us-east-1"}},
		"of a service": {func(l *landscape.Landscape) {
			l.AWS.Services = []landscape.AWSService{{Name: "menu", Instance: "t9.huge"}}
		}, []string{"service menu of test", "service menu of production"}},
	} {
		l := bistro()
		c.change(l)
		_, err := Estimate(l, p, Default())
		for _, want := range c.says {
			if !errors.Is(err, ErrPrice) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in: %v", name, want, err)
			}
		}
	}
	none := bistro()
	none.AWS = nil
	if _, err := Estimate(none, p, Default()); !errors.Is(err, ErrNoAWS) {
		t.Errorf("without AWS: %v", err)
	}
}

func TestOwnPrices(t *testing.T) {
	t.Parallel()
	p := prices(t)
	own, err := p.With([]byte(`{"dated": "2027-01-01", "prices": {"ec2/t9.huge": {"unit": "hour", "usd": {"eu-central-1": 1.0}}, "ec2/t3.small": {"unit": "hour", "usd": {"eu-central-1": 1.0}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	l := bistro()
	l.AWS.Services = []landscape.AWSService{{Name: "menu", Instance: "t9.huge"}}
	b, err := Estimate(l, own, Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range b.Sections[0].Lines[:3] {
		if line.Min != 2*73000 || !line.Assumed {
			t.Errorf("line %+v", line)
		}
	}
	if !strings.Contains(b.Dated, "2027-01-01") || p.Prices["ec2/t3.small"].USD["eu-central-1"] == 1 {
		t.Errorf("dated %s; the table itself has changed", b.Dated)
	}
	for _, bad := range []string{"", "[]", `{"price": {}}`, `{"prices": {"ec2/x": {}}}`, `{"prices": {"ec2/x": {"unit": "hour", "usd": {"r": -1}}}}`,
		`{"prices": {"ec2/t3.small": {"unit": "month", "usd": {"eu-central-1": 1}}}}`,
		`{"prices": {"ec2/x": {"unit": "hour", "usd": {"r": 1}, "sources": {"r": "nowhere"}}}}`} {
		if _, err := p.With([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestAssumptionsAreChecked(t *testing.T) {
	t.Parallel()
	fields := reflect.TypeFor[Assumptions]().NumField()
	if said := len(Default().List()); said != fields {
		t.Errorf("%d of %d assumptions are said", said, fields)
	}
	for i := range fields {
		for _, bad := range []float64{-1, math.NaN(), math.Inf(1)} {
			a := Default()
			reflect.ValueOf(&a).Elem().Field(i).SetFloat(bad)
			if _, err := Estimate(bistro(), prices(t), a); err == nil {
				t.Errorf("%v as %s was taken", bad, reflect.TypeFor[Assumptions]().Field(i).Name)
			}
		}
	}
	a := Default()
	a.Hours = 745
	if _, err := Estimate(bistro(), prices(t), a); err == nil {
		t.Error("745 hours were taken")
	}
}

// TestTable: what the brief of the table is: regions, types, and no source that is not described.
func TestTable(t *testing.T) {
	t.Parallel()
	p := prices(t)
	if got := p.Regions(); !slices.Equal(got, []string{"eu-central-1", "eu-west-1", "us-east-1"}) {
		t.Errorf("regions %v", got)
	}
	used := map[string]bool{}
	for key, price := range p.Prices {
		for region, usd := range price.USD {
			if usd == 0 {
				t.Errorf("%s costs nothing in %s", key, region)
			}
			used[price.Sources[region]] = true
		}
		for region := range price.Sources {
			if _, ok := price.USD[region]; !ok {
				t.Errorf("%s has a source and no price in %s", key, region)
			}
		}
	}
	for id, s := range p.Origins {
		if !used[id] || s.Title == "" || s.LookedUp == "" || s.AsOf == "" {
			t.Errorf("source %s: %+v", id, s)
		}
	}
	for _, region := range p.Regions() { // sizes of a family double
		for _, pair := range [][2]string{{"ec2/t3.micro", "ec2/t3.small"}, {"ec2/t3.small", "ec2/t3.medium"}, {"ec2/t3.medium", "ec2/t3.large"}, {"ec2/t4g.micro", "ec2/t4g.small"},
			{"ec2/m7i.large", "ec2/m7i.xlarge"}, {"ec2/m7g.large", "ec2/m7g.xlarge"}, {"rds/db.m7g.large", "rds/db.m7g.xlarge"}} {
			small, large := p.Prices[pair[0]].USD[region], p.Prices[pair[1]].USD[region]
			if ratio := large / small; ratio < 1.95 || ratio > 2.05 {
				t.Errorf("%s: %v costs %v times %v", region, pair[1], ratio, pair[0])
			}
		}
	}
}
