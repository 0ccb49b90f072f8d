// Command chaos plays a fault campaign against godwit; see package
// internal/test/chaos for what it does and what it guarantees.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"godwit/internal/site/local"
	"godwit/internal/test/chaos"
)

func main() {
	// It looks past the engine with the local site's own code, which re-executes this program.
	if handled, code := local.Dispatch(os.Args); handled {
		os.Exit(code)
	}
	seed := flag.Uint64("seed", 1, "what draws the rounds: the same one draws the same")
	rounds := flag.Int("rounds", 300, "how many operations at most, each with one fault or two")
	faults := flag.Int("faults", 0, "end when so many faults were done; 0: with the rounds")
	within := flag.Duration("within", 0, "end when so much time is over; 0: with the rounds")
	pairs := flag.Float64("pairs", 0.3, "share of the rounds with two faults, 0 to 1")
	rate := flag.Float64("rate", 100, "requests per second")
	slow := flag.Int("slow", 0, "slow clients of each kind, all the time")
	calm := flag.Bool("calm", false, "no faults: only switches, each of which must be done; for slow clients")
	only := flag.String("only", "", "only faults whose name holds this text, like \"engine\" or \"kill\"")
	settle := flag.Duration("settle", 45*time.Second, "how long it may take until all is well by itself")
	out := flag.String("report", "", "file for the report as JSON")
	keep := flag.Bool("keep", false, "leave the directory")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	binary, err := filepath.Abs("bin/godwit")
	bistro, err2 := filepath.Abs("examples/bistro")
	if err != nil || err2 != nil || flag.NArg() > 0 || *rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	report, err := chaos.Run(ctx, chaos.Options{Seed: *seed, Rounds: *rounds, Faults: *faults, Within: *within, Pairs: *pairs, Rate: *rate, Slow: *slow, Calm: *calm, Only: *only, Settle: *settle,
		Bistro: bistro, Godwit: binary, Keep: *keep, Note: func(format string, args ...any) { fmt.Printf(format+"\n", args...) }})
	if *out != "" {
		if text, err := json.MarshalIndent(report, "", "  "); err == nil {
			os.WriteFile(*out, text, 0o644)
		}
	}
	show(report)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !report.Good() {
		os.Exit(1)
	}
}

func show(r *chaos.Report) {
	fmt.Printf("\nseed %d: %d rounds in %v, %d faults, %d of the rounds with two; %d switches done, %d undone\n",
		r.Seed, len(r.Rounds), r.Took.Round(time.Second), r.Faults, r.Pairs, r.Switches, r.Undone)
	fmt.Printf("%d requests, %d failed: %d in flight in what was killed or within its time, %d without a reason\n", r.Requests, r.Failed, r.Excused, r.Harmed)
	fmt.Printf("%d acknowledged writes: %d missing, %d doubled; invariants %v\n", r.Ledger.Acknowledged, r.Ledger.Missing, r.Ledger.Duplicated, r.Invariants)
	fmt.Printf("%d rows written past the gateway on either side: %d lost\n", r.Strangers, r.StrangersLost)
	fmt.Printf("stuck %d, detached commands %d, two writers %d\n", r.Stuck, r.Detached, r.TwoWriters)
	fmt.Printf("| %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", r.Seed, r.Faults, r.Pairs, r.Requests, r.Excused, r.Harmed,
		r.Ledger.Acknowledged, r.Ledger.Missing, r.Ledger.Duplicated, r.Stuck, r.Detached)
	for _, v := range r.Violations {
		fmt.Println("  ✗", v)
	}
}
