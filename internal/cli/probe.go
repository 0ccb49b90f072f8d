package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/probe"
)

type probeOptions struct {
	name, dir, env, site string
	target, host, ledger string
	rate                 float64
	duration             time.Duration
	writes               float64
	retry, verify        bool
}

func newProbe(g *globals) *cobra.Command {
	o := probeOptions{dir: ".", rate: 300, duration: 30 * time.Second, writes: asDeclared, verify: true}
	c := &cobra.Command{
		Use:   "probe [PROBE]",
		Short: "Send a landscape's declared requests, and compare what was acknowledged with the data",
		Long: `Sends the requests of a probe block at a constant rate, whatever the answers take
(open loop: latency counts from the moment a request was due), keeps a ledger of
every acknowledged write, and retries nothing unless asked. Ends after --duration
or with Ctrl-C. Then asks the database that holds the truth for every write; those
of the environments that no migration targets are not asked, nor those on AWS.

Exit status: 0 nothing failed, is missing or doubled; 1 otherwise.`,
		Example: `  godwit probe tills --dir examples/bistro --rate 500 --duration 1m
  godwit probe tills --dir examples/bistro --writes 0.5 --json
  godwit probe alive --env test
  godwit probe alive --env production --site aws               # through the public load balancer
  godwit probe tills --target http://127.0.0.1:9001 --verify=false   # straight at a service`,
		Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.name = args[0]
			}
			return g.probe(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.dir, "dir", o.dir, "directory of the landscape")
	c.Flags().StringVar(&o.env, "env", "", "environment to send to (default: the one that answers for the declared host)")
	g.completeEnvironments(c)
	c.Flags().StringVar(&o.site, "site", siteLocal, "where that environment is: local, or aws, over https to its host")
	c.Flags().StringVar(&o.target, "target", "", "where to send, http://HOST:PORT (default: the engine's gateway)")
	c.Flags().StringVar(&o.host, "host", "", "Host header (default: the probe's ingress)")
	c.Flags().StringVar(&o.ledger, "ledger", "", "file for the ledger (default: a temporary one)")
	c.Flags().Float64Var(&o.rate, "rate", o.rate, "requests per second")
	c.Flags().DurationVar(&o.duration, "duration", o.duration, "how long; 0 until Ctrl-C")
	c.Flags().Float64Var(&o.writes, "writes", o.writes, "share of writes, 0 to 1; -1 as declared")
	c.Flags().BoolVar(&o.retry, "retry", false, "send a failed request again, with the same key")
	c.Flags().BoolVar(&o.verify, "verify", o.verify, "compare the ledger with the data afterwards")
	return c
}

// Sites that a probe can be sent to.
const (
	siteLocal = "local"
	siteAWS   = "aws"
)

// asDeclared leaves the share of writes to the landscape.
const asDeclared = -1

// probeReport is the JSON of probe.
type probeReport struct {
	Probe      string                  `json:"probe"`
	Target     string                  `json:"target"`
	Host       string                  `json:"host"`
	Result     probe.Result            `json:"result"`
	Ledger     *probe.Ledger           `json:"ledger,omitempty"` // all ledgers together
	Ledgers    map[string]probe.Ledger `json:"ledgers,omitempty"`
	Invariants map[string]int64        `json:"invariants,omitempty"`
	Side       string                  `json:"side,omitempty"` // which database was asked
}

func (r probeReport) good() bool {
	for _, n := range r.Invariants {
		if n != 0 {
			return false
		}
	}
	return r.Result.Failed == 0 && (r.Ledger == nil || r.Ledger.Good())
}

func (g *globals) probe(ctx context.Context, o probeOptions) error {
	l, _, err := readLandscape(o.dir)
	if err != nil {
		return err
	}
	p, err := chooseProbe(l, o.name)
	if err != nil {
		return err
	}
	if err := o.place(l); err != nil {
		return err
	}
	options, err := g.probeOptions(ctx, l, p, o)
	if err != nil {
		return err
	}
	if options.LedgerPath == "" {
		dir, err := os.MkdirTemp("", "godwit-probe-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		options.LedgerPath = filepath.Join(dir, "ledger.jsonl")
	}
	r := probeReport{Probe: p.Name, Target: options.Target, Host: options.Host}
	if r.Result, err = probe.Run(ctx, options); err != nil {
		return err
	}
	if o.verify {
		// Ctrl-C ended the load; what it did is still worth knowing.
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := g.verifyLedger(limit, &r, options.LedgerPath); err != nil {
			return err
		}
	}
	g.view.result(r, r.write)
	if !r.good() {
		return &reported{errors.New("the probe found problems")}
	}
	return nil
}

// place fills in the environment, and leaves the data alone where the engine
// cannot ask for it.
func (o *probeOptions) place(l *landscape.Landscape) error {
	main := landscape.MainEnvironment(l)
	o.env = cmp.Or(o.env, main)
	if _, ok := l.Environment(o.env); !ok && len(l.Environments) > 0 {
		return api.Fail(api.Missing, "the landscape declares no environment %q", o.env)
	}
	if o.site != siteLocal && o.site != siteAWS {
		return api.Fail(api.Usage, "there is no site %q: take %s or %s", o.site, siteLocal, siteAWS)
	}
	o.verify = o.verify && o.env == main && o.site == siteLocal
	return nil
}

func chooseProbe(l *landscape.Landscape, name string) (landscape.Probe, error) {
	if name == "" && len(l.Probes) == 1 {
		return l.Probes[0], nil
	}
	p, ok := l.Probe(name)
	switch {
	case ok:
		return p, nil
	case name == "":
		return p, api.Fail(api.Usage, "the landscape declares %d probes: name one", len(l.Probes))
	}
	return p, api.Fail(api.Missing, "the landscape declares no probe %q", name)
}

// probeOptions fills in what the command line leaves to the landscape and the engine.
func (g *globals) probeOptions(ctx context.Context, l *landscape.Landscape, p landscape.Probe, o probeOptions) (probe.Options, error) {
	options := probe.Options{Probe: p, Target: o.target, Host: o.host, Rate: o.rate, Duration: o.duration,
		Retry: o.retry, LedgerPath: o.ledger, OnSample: g.sample()}
	if o.writes != asDeclared {
		options.WriteShare = &o.writes
	}
	if in, ok := l.Ingress(p.Ingress); ok && options.Host == "" {
		options.Host = landscape.IngressHost(l, in, o.env)
	}
	if o.site == siteAWS && options.Target == "" {
		options.Target = "https://" + options.Host
	}
	if options.Target == "" || o.verify {
		address, err := g.gateway(ctx)
		if err != nil {
			return options, fmt.Errorf("%w; or do without: --target URL --verify=false", err)
		}
		options.Target = cmp.Or(options.Target, "http://"+address)
	}
	return options, nil
}

// gateway is the address of the engine's gateway.
func (g *globals) gateway(ctx context.Context) (string, error) {
	engine, err := g.running(ctx)
	if err != nil {
		return "", err
	}
	s, err := engine.Status(ctx)
	if err == nil && s.Landscape == "" {
		err = api.Fail(api.Usage, "no landscape is up yet: run godwit up DIR")
	}
	return s.Gateway.Address, err
}

// sample shows a line of progress every two seconds.
func (g *globals) sample() func(probe.Sample) {
	var sum probe.Sample
	shown := time.Duration(0)
	return func(s probe.Sample) {
		sum.Sent, sum.OK, sum.Failed, sum.Max = sum.Sent+s.Sent, sum.OK+s.OK, sum.Failed+s.Failed, max(sum.Max, s.Max)
		if s.At-shown < 2*time.Second {
			return
		}
		g.view.note("  %6.1fs  %d sent, %d ok, %d failed, slowest %s", s.At.Seconds(), sum.Sent, sum.OK, sum.Failed, sum.Max.Round(time.Millisecond))
		sum, shown = probe.Sample{}, s.At
	}
}

// verifyLedger compares the ledger with what the engine finds in the data.
func (g *globals) verifyLedger(ctx context.Context, r *probeReport, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	entries, err := probe.ReadLedger(f)
	if err != nil {
		return err
	}
	found := map[string]map[string]int64{}
	w := g.view.watch()
	w.Row = func(row json.RawMessage) {
		var k api.Found
		if json.Unmarshal(row, &k) != nil {
			return
		}
		if found[k.Ledger] == nil {
			found[k.Ledger] = map[string]int64{}
		}
		found[k.Ledger][k.Key] += k.Count
	}
	engine, err := g.running(ctx)
	if err != nil {
		return fmt.Errorf("the ledger cannot be compared: %w; use --verify=false to go without", err)
	}
	result, err := engine.Ledger(ctx, api.LedgerRequest{Probe: r.Probe}, w)
	if err != nil {
		return err
	}
	r.Invariants, r.Side = result.Invariants, result.Side
	return r.compare(ctx, entries, found)
}

func (r *probeReport) compare(ctx context.Context, entries []probe.Entry, found map[string]map[string]int64) error {
	r.Ledger, r.Ledgers = &probe.Ledger{}, map[string]probe.Ledger{}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Ledger] = true
	}
	for name := range names {
		l, err := probe.Verify(ctx, probe.Named(entries, name), maps.All(found[name]))
		if err != nil {
			return err
		}
		r.Ledgers[name] = l
		sum := r.Ledger.Add(l)
		r.Ledger = &sum
	}
	return nil
}

func (r probeReport) write(w io.Writer) {
	s := r.Result
	fmt.Fprintf(w, "%s to %s: %d ok, %d failed; p50 %s, p99 %s, max %s; longest gap %s\n", count(int(s.Sent), "request"), r.Host, s.OK, s.Failed,
		s.P50.Round(10*time.Microsecond), s.P99.Round(10*time.Microsecond), s.Max.Round(10*time.Microsecond), s.LongestGap.Round(time.Millisecond))
	for class, n := range s.Reasons {
		fmt.Fprintf(w, "  %d failed: %s\n", n, class)
	}
	for _, f := range s.Examples {
		fmt.Fprintf(w, "    %s %s: %s\n", f.At.Format(time.TimeOnly), f.Request, f.Message)
	}
	if r.Ledger != nil {
		fmt.Fprintf(w, "%s acknowledged: %d found on the %s, %d missing, %d doubled\n", count(int(r.Ledger.Acknowledged), "write"), r.Ledger.Found, r.Side, r.Ledger.Missing, r.Ledger.Duplicated)
	}
	for name, n := range r.Invariants {
		fmt.Fprintf(w, "  %s: %d\n", name, n)
	}
}
