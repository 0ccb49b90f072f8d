// Package cost estimates what a landscape costs on AWS in a month, from what is
// declared and a table of prices.
//
// Its nouns: Prices are a dated table that says of each price where it is from,
// or that it is assumed; Assumptions are what a declaration does not say, such as
// traffic; a Bill has a Section for the account and for each environment, made of
// Lines: a quantity times a unit price, for the least and the most instances.
//
// It is pure: the same landscape, prices and assumptions give the same bill, and
// sums are sums of what is shown, to the cent. It is an estimate, not an offer:
// no tax, no free tier, no discount. The command line imports it; it imports
// landscape only.
package cost

import (
	"errors"
	"fmt"
	"math"

	"godwit/internal/landscape"
)

// Money is in hundredths of the currency.
type Money int64

func (m Money) String() string { return fmt.Sprintf("%d.%02d", m/100, m%100) }

// MarshalJSON writes it in whole units of the currency, as prices are: 492.45.
func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.String()), nil }

// Line is one thing that is paid for.
type Line struct {
	Item    string  `json:"item"`
	Of      string  `json:"of,omitempty"` // the service or database that it is for
	Unit    string  `json:"unit"`
	Price   float64 `json:"price"` // of a unit
	Least   float64 `json:"least"` // units, with as few instances as declared
	Most    float64 `json:"most"`  // units, with as many
	Min     Money   `json:"min"`
	Max     Money   `json:"max"`
	Source  string  `json:"source,omitempty"` // of the price; "": assumed
	Assumed bool    `json:"assumed,omitempty"`
}

// Section is an environment, or the account.
type Section struct {
	Name  string `json:"name"`
	Lines []Line `json:"lines"`
	Min   Money  `json:"min"`
	Max   Money  `json:"max"`
}

// Bill of a month.
type Bill struct {
	Landscape   string      `json:"landscape"`
	Region      string      `json:"region"`
	Currency    string      `json:"currency"`
	Dated       string      `json:"dated"` // of the prices
	Sections    []Section   `json:"sections"`
	Min         Money       `json:"min"`
	Max         Money       `json:"max"`
	Assumptions Assumptions `json:"assumptions"`
	Sources     []Source    `json:"sources"` // of the prices used
	Assumed     []string    `json:"assumed"` // prices used that have no source
	Without     []string    `json:"without"` // what is not in it
}

// ErrNoAWS: the landscape says nothing of AWS.
var ErrNoAWS = errors.New(`the landscape has no block aws: add aws { region = "eu-central-1" }`)

// without is what no line stands for.
var without = []string{
	"taxes, support plans, the free tier, savings plans and discounts",
	"the second fleet of a service while it is rolled out, for some minutes",
	"builder instances while images are baked, for some minutes",
	"processor credits of burstable instances beyond what they earn",
	"growth of a database's storage beyond what is declared",
}

// Estimate is what a landscape costs in a month.
func Estimate(l *landscape.Landscape, p Prices, a Assumptions) (Bill, error) {
	if l.AWS == nil {
		return Bill{}, ErrNoAWS
	}
	if err := a.check(); err != nil {
		return Bill{}, err
	}
	if err := p.covers(l); err != nil {
		return Bill{}, err
	}
	b := Bill{Landscape: l.Name, Region: l.AWS.Region, Currency: p.Currency, Dated: p.Dated, Assumptions: a, Without: without}
	used := map[string]bool{}
	var missing error
	for _, e := range l.Environments {
		w := writer{prices: p, region: l.AWS.Region, used: used, section: Section{Name: e.Name}}
		w.environment(l, e, a)
		b.add(w)
		missing = errors.Join(missing, w.missing)
	}
	w := writer{prices: p, region: l.AWS.Region, used: used, section: Section{Name: Account}}
	w.account(l, a)
	b.add(w)
	if missing = errors.Join(missing, w.missing); missing != nil {
		return Bill{}, missing
	}
	b.Sources, b.Assumed = p.origins(l.AWS.Region, used)
	return b, nil
}

// Account is the section of what there is once for all environments.
const Account = "account"

func (b *Bill) add(w writer) {
	b.Sections = append(b.Sections, w.section)
	b.Min += w.section.Min
	b.Max += w.section.Max
}

// writer adds lines to a section.
type writer struct {
	prices  Prices
	region  string
	used    map[string]bool
	section Section
	missing error
}

// flat is a line that does not depend on how many instances run.
func (w *writer) flat(key, item, of string, units float64) { w.line(key, item, of, units, units) }

func (w *writer) line(key, item, of string, least, most float64) {
	if most == 0 {
		return
	}
	price, err := w.prices.of(key, w.region)
	if err != nil {
		w.missing = errors.Join(w.missing, err)
		return
	}
	w.used[key] = true
	source := price.Sources[w.region]
	l := Line{Item: item, Of: of, Unit: price.Unit, Price: price.USD[w.region], Least: round(least), Most: round(most), Source: source, Assumed: source == ""}
	l.Min, l.Max = money(l.Price*l.Least), money(l.Price*l.Most)
	w.section.Lines = append(w.section.Lines, l)
	w.section.Min += l.Min
	w.section.Max += l.Max
}

// round: quantities are shown as they are reckoned with.
func round(units float64) float64 { return math.Round(units*1000) / 1000 }

func money(usd float64) Money { return Money(math.Round(usd * 100)) }
