// Package probe sends a landscape's probe: an open-loop load of the requests
// declared in it, with a ledger of every write.
//
// Its nouns: a request, drawn by weight; an outcome, how it ended; a sample, 100
// milliseconds of the load; the ledger, a file that outlives a kill; a tally, the
// ledger compared with the data.
//
// It guarantees: requests are sent at their times however slow the answers are,
// and latency is measured from the intended time, so a stall is seen by all whom
// it would have hit (no coordinated omission); nothing is skipped silently and
// nothing is retried unless asked; a write is in the ledger file at the latest
// FlushEvery after it was acknowledged.
//
// It knows the landscape's declarations and nothing of sites or the engine. The
// engine and the CLI import it.
package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"godwit/internal/landscape"
)

// ErrInvalid: the options or the probe contradict themselves; nothing was sent.
var ErrInvalid = errors.New("invalid probe")

// Options of a Run.
type Options struct {
	Probe    landscape.Probe
	Target   string        // "http://127.0.0.1:8080": the gateway, or https://till.bistro.example
	Host     string        // Host header; "" means Target's
	Rate     float64       // requests per second, above 0
	Duration time.Duration // 0: until the context ends

	WriteShare  *float64      // share of requests with a ledger, 0 to 1; nil leaves the weights alone
	Retry       bool          // send a failed request again, with the same key, until Timeout is over
	Timeout     time.Duration // of one request, from when it is sent; 0 means 10 s
	Grace       time.Duration // for requests in flight when the context ends; 0 means 1 s
	MaxInFlight int           // 0 means Rate × Timeout within 64 and 4096

	LedgerPath string // file that is written anew; "" keeps no ledger
	Run        string // prefix of every key; "" means a random one. Seed draws requests, never keys
	Seed       uint64 // the same seed draws the same requests

	// OnSample, if set, gets each sample as soon as its last request has ended, in order of time.
	// It is called from one goroutine and must return quickly.
	OnSample func(Sample)
	// OnFailure, if set, gets each failed request when it has ended, in the same way.
	OnFailure func(Failure)
	// Dial opens connections; nil dials TCP. It must respect its context.
	Dial dialFunc
	// RootCAs that a target with https is trusted by; nil: the system's.
	RootCAs *x509.CertPool
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

const (
	defaultTimeout = 10 * time.Second
	defaultGrace   = time.Second
	minInFlight    = 64
	maxInFlight    = 4096
)

func (o Options) withDefaults() (Options, error) {
	if !(o.Rate > 0) || o.Rate > 1e6 {
		return o, fmt.Errorf("%w: rate %v is not between 0 and 1000000 requests/s", ErrInvalid, o.Rate)
	}
	if o.Duration < 0 || o.Timeout < 0 || o.Grace < 0 || o.MaxInFlight < 0 {
		return o, fmt.Errorf("%w: durations and MaxInFlight must not be negative", ErrInvalid)
	}
	if w := o.WriteShare; w != nil && !(*w >= 0 && *w <= 1) {
		return o, fmt.Errorf("%w: write share %v is not between 0 and 1", ErrInvalid, *w)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = int(min(max(o.Rate*o.Timeout.Seconds(), minInFlight), maxInFlight))
	}
	if o.Run == "" {
		o.Run = randomRun()
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	return o, nil
}
