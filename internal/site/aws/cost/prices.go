package cost

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"godwit/internal/landscape"
)

//go:embed prices.json
var standard string

// Prices are a table of them.
type Prices struct {
	Dated    string            `json:"dated"`
	Currency string            `json:"currency"`
	Origins  map[string]Source `json:"sources"`
	Prices   map[string]Price  `json:"prices"` // by what is paid for: "ec2/t3.small"
}

// Price of one thing.
type Price struct {
	Unit    string             `json:"unit"`
	USD     map[string]float64 `json:"usd"`               // by region
	Sources map[string]string  `json:"sources,omitempty"` // by region; none: assumed
	Note    string             `json:"note,omitempty"`
}

// Source is where a price was found.
type Source struct {
	Title    string `json:"title"`
	AsOf     string `json:"as_of"`
	LookedUp string `json:"looked_up"`
	Remark   string `json:"remark,omitempty"`
}

// ErrPrice: there is no price for something declared.
var ErrPrice = errors.New("no price")

// Standard is the table that comes with godwit.
func Standard() (Prices, error) { return read([]byte(standard)) }

// With is the table with another laid over it: what that has counts. It may hold
// no more than {"prices": {"ec2/x9.large": {"unit": "hour", "usd": {"eu-central-1": 0.5}}}}.
func (p Prices) With(b []byte) (Prices, error) {
	over, err := read(b)
	if err != nil {
		return p, err
	}
	merged := Prices{Dated: p.Dated, Currency: p.Currency, Origins: maps.Clone(p.Origins), Prices: map[string]Price{}}
	if over.Dated != "" {
		merged.Dated = p.Dated + ", with prices of " + over.Dated
	}
	maps.Copy(merged.Origins, over.Origins)
	for key, price := range p.Prices {
		merged.Prices[key] = Price{Unit: price.Unit, Note: price.Note, USD: maps.Clone(price.USD), Sources: maps.Clone(price.Sources)}
	}
	for key, price := range over.Prices {
		old, known := merged.Prices[key]
		if !known {
			merged.Prices[key] = price
			continue
		}
		if price.Unit != old.Unit {
			return p, fmt.Errorf("%s is priced by the %s, not by the %q", key, old.Unit, price.Unit)
		}
		for region, usd := range price.USD {
			old.USD[region] = usd
			delete(old.Sources, region)
			if s := price.Sources[region]; s != "" {
				if old.Sources == nil {
					old.Sources = map[string]string{}
				}
				old.Sources[region] = s
			}
		}
		merged.Prices[key] = old
	}
	return merged, merged.check()
}

func read(b []byte) (Prices, error) {
	var p Prices
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("this is no table of prices: %w", err)
	}
	if p.Origins == nil {
		p.Origins = map[string]Source{}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Prices)) {
		price := p.Prices[key]
		if price.Unit == "" || len(price.USD) == 0 {
			return p, fmt.Errorf("the price of %s lacks unit or usd", key)
		}
		for region, usd := range price.USD {
			if usd < 0 || usd > 1000 {
				return p, fmt.Errorf("the price of %s in %s is %v: from 0 to 1000 USD", key, region, usd)
			}
		}
	}
	return p, nil
}

// check: every source that is named is described.
func (p Prices) check() error {
	for _, key := range slices.Sorted(maps.Keys(p.Prices)) {
		for region, id := range p.Prices[key].Sources {
			if p.Origins[id].Title == "" {
				return fmt.Errorf("the price of %s in %s names source %q, which is not described", key, region, id)
			}
		}
	}
	return nil
}

// Regions that the table has all of the general prices for.
func (p Prices) Regions() []string {
	count := map[string]int{}
	general := 0
	for key, price := range p.Prices {
		if isType(key) {
			continue
		}
		general++
		for region := range price.USD {
			count[region]++
		}
	}
	var all []string
	for _, region := range slices.Sorted(maps.Keys(count)) {
		if count[region] == general {
			all = append(all, region)
		}
	}
	return all
}

func isType(key string) bool {
	return strings.HasPrefix(key, "ec2/") || strings.HasPrefix(key, "rds/db.")
}

// Types that a kind ("ec2/", "rds/") has prices for in a region.
func (p Prices) Types(kind, region string) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(p.Prices)) {
		if _, ok := p.Prices[key].USD[region]; ok && isType(key) && strings.HasPrefix(key, kind) {
			all = append(all, strings.TrimPrefix(key, kind))
		}
	}
	return all
}

func (p Prices) of(key, region string) (Price, error) {
	price, known := p.Prices[key]
	if _, there := price.USD[region]; !known || !there {
		return price, fmt.Errorf("%w for %s in %s: add it with --prices", ErrPrice, key, region)
	}
	return price, nil
}

// covers says what is declared and has no price, all at once, with what has one.
func (p Prices) covers(l *landscape.Landscape) error {
	region := l.AWS.Region
	if !slices.Contains(p.Regions(), region) {
		return fmt.Errorf("%w: the table has no prices for region %s, but for %s. Give a file with all of them: --prices FILE, made like internal/site/aws/cost/prices.json",
			ErrPrice, region, strings.Join(p.Regions(), ", "))
	}
	var all []error
	for _, e := range l.Environments {
		for _, s := range l.Services {
			all = append(all, p.covered("ec2/", l.AWS.Service(e.Name, s.Name).Instance, region, "instance type", "service "+s.Name+" of "+e.Name))
		}
		if len(l.Databases) > 0 {
			all = append(all, p.covered("rds/", l.AWS.In(e.Name).Database, region, "database class", "the databases of "+e.Name))
		}
	}
	return errors.Join(slices.CompactFunc(slices.DeleteFunc(all, func(e error) bool { return e == nil }), func(a, b error) bool { return a.Error() == b.Error() })...)
}

func (p Prices) covered(kind, name, region, what, who string) error {
	if _, err := p.of(kind+name, region); err == nil {
		return nil
	}
	return fmt.Errorf("%w for %s %s in %s, which %s is declared with. Known there: %s. Another is added with --prices FILE: "+
		`{"prices": {"%s%s": {"unit": "hour", "usd": {"%s": 0.00}}}}`, ErrPrice, what, name, region, who, strings.Join(p.Types(kind, region), ", "), kind, name, region)
}

// origins are the sources of the prices that were used, and those that have none.
func (p Prices) origins(region string, used map[string]bool) (sources []Source, assumed []string) {
	seen := map[string]bool{}
	assumed = []string{}
	for _, key := range slices.Sorted(maps.Keys(used)) {
		id := p.Prices[key].Sources[region]
		if id == "" {
			assumed = append(assumed, key)
		} else if !seen[id] {
			seen[id] = true
			sources = append(sources, p.Origins[id])
		}
	}
	slices.SortFunc(sources, func(a, b Source) int { return strings.Compare(a.Title, b.Title) })
	return sources, assumed
}
