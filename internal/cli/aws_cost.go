package cli

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/site/aws/cost"
)

func newAWSCost(a *onAWS) *cobra.Command {
	var prices string
	assume := cost.Default()
	c := &cobra.Command{
		Use:   "cost [DIR]",
		Short: "Estimate what the landscape costs on AWS in a month",
		Long: `Estimates, from what the landscape of DIR (default: this directory) declares, what
each environment costs in a month at its least and its most instances. The prices
are a dated table in godwit; what is assumed is printed, and can be said
otherwise. It asks nobody, needs no account, and is an estimate, not an offer.`,
		Example: `  godwit aws cost examples/bistro
  godwit aws cost examples/bistro --requests 50 --log-gb 10
  godwit aws cost --json | jq '.sections[] | {name, min, max}'`,
		Args: arguments(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, _, err := readLandscape(directory(args))
			if err != nil {
				return err
			}
			table, err := priceTable(prices)
			if err != nil {
				return err
			}
			bill, err := cost.Estimate(l, table, assume)
			if errors.Is(err, cost.ErrPrice) || errors.Is(err, cost.ErrNoAWS) {
				return api.Fail(api.Usage, "%v", err)
			}
			if err != nil {
				return err
			}
			return a.view.result(bill, func(w io.Writer) { _ = bill.Text(w) })
		},
	}
	f := c.Flags()
	f.StringVar(&prices, "prices", "", "JSON file with prices that add to, or replace, those of godwit")
	f.Float64Var(&assume.Hours, "hours", assume.Hours, "hours of a month")
	f.Float64Var(&assume.Requests, "requests", assume.Requests, "requests per second and instance behind an ingress, on average")
	f.Float64Var(&assume.Kilobytes, "kilobytes", assume.Kilobytes, "size of an answer")
	f.Float64Var(&assume.LogGB, "log-gb", assume.LogGB, "GB that an instance logs in a month")
	f.Float64Var(&assume.OutsideGB, "outside-gb", assume.OutsideGB, "GB per instance through a NAT gateway")
	f.Float64Var(&assume.BetweenGB, "between-gb", assume.BetweenGB, "GB per instance between zones")
	return c
}

func priceTable(file string) (cost.Prices, error) {
	table, err := cost.Standard()
	if err != nil || file == "" {
		return table, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return table, api.Fail(api.Usage, "prices: %v", err)
	}
	table, err = table.With(b)
	if err != nil {
		return table, api.Fail(api.Usage, "prices %s: %v", file, err)
	}
	return table, nil
}
