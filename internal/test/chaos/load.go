package chaos

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/probe"
)

// load is the tills. The engine neither sends it nor sees its ledger.
type load struct {
	stop   context.CancelFunc
	ended  chan struct{}
	result probe.Result
	err    error
	ledger string

	mu       sync.Mutex
	failures []probe.Failure
	taken    int
}

// lastAnswers is what requests in flight get when the load ends: one that is cut
// off then says nothing of godwit.
const lastAnswers = 15 * time.Second

func startLoad(p landscape.Probe, target, host, ledger string, rate float64, seed uint64) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop, ended: make(chan struct{}), ledger: ledger}
	go func() {
		defer close(l.ended)
		l.result, l.err = probe.Run(ctx, probe.Options{Probe: p, Target: target, Host: host, Rate: rate, LedgerPath: ledger, Seed: seed,
			Grace: lastAnswers,
			OnFailure: func(f probe.Failure) {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.failures = append(l.failures, f)
			}})
	}()
	return l
}

// take returns the failures that came since it was last called.
func (l *load) take() []probe.Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	since := l.failures[l.taken:]
	l.taken = len(l.failures)
	return since
}

// end stops the load and waits for its answers.
func (l *load) end() (probe.Result, error) {
	l.stop()
	<-l.ended
	return l.result, l.err
}

// entries of the ledger.
func (l *load) entries() ([]probe.Entry, error) {
	f, err := os.Open(l.ledger)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	defer f.Close()
	return probe.ReadLedger(f)
}
