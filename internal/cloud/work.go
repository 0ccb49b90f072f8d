package cloud

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/journal"
	"godwit/internal/rollout"
	"godwit/internal/site/aws"
)

// leaseLength is how long a rollout whose process died keeps others out.
const leaseLength = 2 * time.Minute

// work is on one service in one environment, under its lease.
type work struct {
	*Cloud
	environment, service string
	book                 *book
	journal              *journal.Journal
}

// work does something under the lease of a service. When the lease is taken
// over, the context ends: another works on.
func (c *Cloud) work(ctx context.Context, environment, service string, do func(context.Context, *work) error) error {
	ledger, err := c.site.Ledger(ctx, environment, service, holder(), leaseLength)
	if err != nil {
		return err
	}
	if err := ledger.Acquire(ctx); err != nil {
		var held *aws.HeldError
		if errors.As(err, &held) {
			return &api.Failure{Code: api.Busy, Message: fmt.Sprintf("%s/%s: %v", environment, service, err)}
		}
		return err
	}
	ctx, lost := context.WithCancelCause(ctx)
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if err := ledger.Keep(keeping); err != nil {
			lost(taken(err))
		}
	}()
	err = c.under(ctx, ledger, environment, service, do)
	stop()
	<-kept
	lost(nil)
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, ledger.Release(release))
}

func (c *Cloud) under(ctx context.Context, ledger *aws.Ledger, environment, service string, do func(context.Context, *work) error) error {
	b, err := openBook(ctx, ledger)
	if err != nil {
		return err
	}
	w := &work{Cloud: c, environment: environment, service: service, book: b, journal: journal.Open(b)}
	w.journal.Limits = limits
	return do(ctx, w)
}

// holder names who works, for people and for the lease.
func holder() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return fmt.Sprintf("%s@%s (process %d, since %s, %s)", name, host, os.Getpid(), time.Now().UTC().Format(time.RFC3339), rand.Text()[:6])
}

func (w *work) subject() string { return w.environment + "/" + w.service }

// run rolls out.
func (w *work) run(ctx context.Context, p rollout.Plan) (api.Rollout, error) {
	payload, err := json.Marshal(p)
	if err != nil {
		return api.Rollout{}, err
	}
	run := journal.Run{ID: fmt.Sprintf("rollout-%s-%s-%d", p.Environment, p.Service, p.To.Number),
		Kind: rollout.Kind, Subject: w.subject(), Payload: payload}
	outcome, err := w.journal.Run(ctx, run, rollout.Steps(w.site, p), w.Sink.Steps(w.subject()))
	return api.EndedRollout(p, outcome, err)
}

// resume ends what another began: forward when it had begun to drain the old
// release, otherwise back.
func (w *work) resume(ctx context.Context) ([]api.Rollout, error) {
	runs, err := w.journal.Unfinished(ctx)
	if err != nil {
		return nil, err
	}
	all := []api.Rollout{}
	for _, run := range runs {
		p, err := planOf(run.Payload)
		if err != nil {
			return all, err
		}
		w.Sink.Note(w.subject(), "resume", fmt.Sprintf("the rollout of release %d was not ended by its process", p.To.Number))
		outcome, err := w.journal.Resume(ctx, run, rollout.Steps(w.site, p), w.Sink.Steps(w.subject()))
		r, err := api.EndedRollout(p, outcome, err)
		all = append(all, r)
		if err != nil || outcome.Status == journal.Stuck {
			return all, errors.Join(err, api.Fail(api.Failed, "%s: the rollout of release %d can neither be finished nor undone now: %s", w.subject(), p.To.Number, r.Reason))
		}
	}
	return all, nil
}

// number is that of the next release: above all that AWS knows and all that the
// journal knows, so that none is ever used twice.
func (w *work) number(ctx context.Context) (int, error) {
	releases, err := w.site.Releases(ctx, w.environment, w.service)
	if err != nil {
		return 0, err
	}
	last := 0
	for _, r := range releases {
		last = max(last, r.Number)
	}
	runs, err := w.book.Runs(ctx)
	for _, r := range runs {
		if p, err := planOf(r.Payload); err == nil {
			last = max(last, p.To.Number)
		}
	}
	return last + 1, err
}

// earlier is a release to return to: the one of a number, or the last that was
// rolled out with success before the live one.
func (w *work) earlier(live fleet.Release, number int) (fleet.Release, error) {
	runs, err := w.book.Runs(context.Background(), string(journal.Done))
	if err != nil {
		return fleet.Release{}, err
	}
	for i := len(runs) - 1; i >= 0; i-- {
		p, err := planOf(runs[i].Payload)
		if err != nil {
			return fleet.Release{}, err
		}
		if number == p.To.Number || number == 0 && p.To.Number != live.Number {
			return p.To, nil
		}
	}
	if number == 0 {
		return fleet.Release{}, api.Fail(api.Missing, "%s has no earlier release to return to", w.subject())
	}
	return fleet.Release{}, api.Fail(api.Missing, "%s has no release %d that was rolled out with success", w.subject(), number)
}
