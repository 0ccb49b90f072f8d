package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// job is a shot with its intended time.
type job struct {
	shot
	due time.Duration // since the start
}

// load is one Run under way.
type load struct {
	Options
	target target
	deck   *deck
	ledger *ledger
	score  *score
	crew   *crew
	start  time.Time
	last   context.Context // of every exchange: ends when the grace is over
}

// Run sends the probe at a constant rate until Duration is over or ctx ends, and
// waits for the answers. When ctx ends, requests in flight get Grace, and what
// came so far is the result, without an error. An error is ErrInvalid, or the
// ledger's: a load whose writes can't be recorded stops.
func Run(ctx context.Context, o Options) (Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Result{}, err
	}
	l := &load{Options: o}
	if l.target, err = o.target(); err != nil {
		return Result{}, err
	}
	if l.deck, err = newDeck(o); err != nil {
		return Result{}, err
	}
	if l.ledger, err = openLedger(o.LedgerPath); err != nil {
		return Result{}, err
	}
	result := l.run(ctx)
	return result, l.ledger.close()
}

func (o Options) target() (target, error) {
	u, err := url.Parse(o.Target)
	if err != nil || ports[u.Scheme] == "" || u.Host == "" || (u.Path != "" && u.Path != "/") {
		return target{}, fmt.Errorf("%w: target %q is not of the form http://host:port", ErrInvalid, o.Target)
	}
	t := target{address: u.Host, host: o.Host, dial: o.Dial}
	if u.Port() == "" {
		t.address = net.JoinHostPort(u.Hostname(), ports[u.Scheme])
	}
	if u.Scheme == "https" {
		t.dial = secured(o.Dial, &tls.Config{ServerName: u.Hostname(), RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12})
	}
	if t.host == "" {
		t.host = u.Host
	}
	if !plain(t.host) {
		return target{}, fmt.Errorf("%w: host %q is not fit to be sent", ErrInvalid, t.host)
	}
	return t, nil
}

// ports are those of the schemes that a target may have.
var ports = map[string]string{"http": "80", "https": "443"}

// secured speaks TLS on what is dialled.
func secured(dial dialFunc, config *tls.Config) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		over := tls.Client(conn, config)
		if err := over.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return over, nil
	}
}

func (l *load) run(ctx context.Context) Result {
	last, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	l.last = last
	scheduling, stop := context.WithCancel(ctx)
	defer stop()
	l.ledger.onError(stop)
	defer context.AfterFunc(scheduling, func() { // the grace, when stopped early
		select {
		case <-time.After(l.Grace):
			cut(errStopped)
		case <-last.Done():
		}
	})()

	l.start = time.Now()
	l.score = newScore(l.start, l.OnSample, l.OnFailure)
	l.crew = newCrew(l.MaxInFlight, l.work)
	l.schedule(scheduling)
	l.crew.dismiss()
	return l.score.finish(time.Now())
}

var errStopped = errors.New("stopped")

// schedule fires every request at its own absolute time: late ones at once, one
// after the other, none left out, no drift.
func (l *load) schedule(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := int64(0); ; n++ {
		due := time.Duration(float64(n) * float64(time.Second) / l.Rate)
		if l.Duration > 0 && due >= l.Duration {
			return
		}
		timer.Reset(time.Until(l.start.Add(due)))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return
		}
		l.fire(n, due)
	}
}

func (l *load) fire(n int64, due time.Duration) {
	s, err := l.deck.draw(n)
	j := job{shot: s, due: due}
	l.score.sent(j)
	if err != nil {
		l.end(j, Template, err.Error())
	} else if !l.crew.do(j) {
		l.end(j, Overload, fmt.Sprintf("%d requests in flight already", l.MaxInFlight))
	}
}

// work sends one request and records what became of it. The ledger has it
// before the first byte is sent, and its acknowledgement at once.
func (l *load) work(c *connection, j job) {
	if j.request.ledger != "" {
		l.ledger.sent(j.shot, time.Now())
	}
	class, message := l.try(c, j)
	if j.request.ledger != "" {
		l.ledger.ended(j.key, class, time.Now())
	}
	l.end(j, class, message)
}

func (l *load) end(j job, class Class, message string) {
	l.score.ended(j, class, message, time.Since(l.start))
}

// try is one attempt, or with Retry as many as fit into Timeout.
func (l *load) try(c *connection, j job) (Class, string) {
	ctx, cancel := context.WithTimeout(l.last, l.Timeout)
	defer cancel()
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval = 10*time.Millisecond, 250*time.Millisecond
	for {
		class, message := l.attempt(ctx, c, j)
		if !l.Retry || !passing(class) {
			return class, message
		}
		select {
		case <-time.After(pace.NextBackOff()):
			l.score.retried()
		case <-ctx.Done():
			return class, message
		}
	}
}

// passing says whether the same request may succeed later.
func passing(class Class) bool {
	switch class {
	case ok, interrupted, Timeout, Protocol:
		return false
	}
	return class[0] != '4' && class[0] != '3'
}

// Classes of requests that did not fail.
const (
	ok          Class = ""
	interrupted Class = "interrupted"
)

func (l *load) attempt(ctx context.Context, c *connection, j job) (Class, string) {
	status, shown, err := c.exchange(ctx, l.target, j.shot)
	switch {
	case err == nil && status/100 == 2:
		return ok, ""
	case err == nil:
		return Class(strconv.Itoa(status)), fmt.Sprintf("%d %s: %s", status, http.StatusText(status), shown)
	case errors.Is(context.Cause(l.last), errStopped):
		return interrupted, ""
	}
	return classify(err), err.Error()
}
