package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
)

const stateBucket = "bistro-state-" + awstest.AccountID + "-" + awstest.Region

// storages are where a ledger is tested: moto's objects, and the fake's.
func storages(t *testing.T) map[string]Clients {
	t.Helper()
	moto := awstest.StartMoto(t).Config(t)
	cloud := awsfake.New(awsfake.Options{Region: awstest.Region, AccountID: awstest.AccountID})
	in := &s3.CreateBucketInput{Bucket: aws.String(stateBucket), CreateBucketConfiguration: &types.CreateBucketConfiguration{
		LocationConstraint: types.BucketLocationConstraint(awstest.Region)}}
	if _, err := s3.NewFromConfig(moto, func(o *s3.Options) { o.UsePathStyle = true }).CreateBucket(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.S3().CreateBucket(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return map[string]Clients{"moto": NewClients(moto), "fake": {S3: cloud.S3(), STS: cloud.STS()}}
}

// watch is a clock that a test moves.
type watch struct{ offset atomic.Int64 }

func (w *watch) now() time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(w.offset.Load()))
}
func (w *watch) forward(d time.Duration) { w.offset.Add(int64(d)) }

func ledger(t *testing.T, c Clients, w *watch, service, holder string) *Ledger {
	t.Helper()
	s := New(c, Options{Landscape: &landscape.Landscape{Name: "bistro"}, Region: awstest.Region, Now: w.now})
	l, err := s.Ledger(t.Context(), "test", service, holder, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLedger(t *testing.T) {
	t.Parallel()
	for name, clients := range storages(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for test, run := range map[string]func(*testing.T, Clients, string){"turns": ledgerTurns, "lost": ledgerLost, "race": ledgerRace} {
				t.Run(test, func(t *testing.T) { t.Parallel(); run(t, clients, test) })
			}
		})
	}
}

// ledgerTurns: one after the other, each finds what the one before wrote.
func ledgerTurns(t *testing.T, c Clients, service string) {
	w, ctx := &watch{}, t.Context()
	one, two := ledger(t, c, w, service, "one"), ledger(t, c, w, service, "two")
	if err := one.Put(ctx, []byte("x")); !errors.Is(err, ErrLost) {
		t.Errorf("written without the lease: %v", err)
	}
	must(t, one.Acquire(ctx), one.Put(ctx, []byte("step 1")), one.Put(ctx, []byte("step 2")))
	var held *HeldError
	if err := two.Acquire(ctx); !errors.As(err, &held) || held.Holder != "one" || !errors.Is(err, site.ErrInvalid) {
		t.Errorf("taken while it is held: %v", err)
	}
	if body, err := two.Get(ctx); err != nil || string(body) != "step 2" {
		t.Errorf("read %q, %v", body, err)
	}
	must(t, one.Release(ctx), one.Release(ctx), two.Acquire(ctx))
	if body, err := two.Get(ctx); err != nil || string(body) != "step 2" {
		t.Errorf("taken over: %q, %v", body, err)
	}
	must(t, two.Put(ctx, nil))
	if err := one.Put(ctx, []byte("x")); !errors.Is(err, ErrLost) {
		t.Errorf("written after its release: %v", err)
	}
}

// ledgerLost: who is not heard of is followed by another, and may not write any
// more when it comes back.
func ledgerLost(t *testing.T, c Clients, service string) {
	w, ctx := &watch{}, t.Context()
	one, two := ledger(t, c, w, service, "one"), ledger(t, c, w, service, "two")
	must(t, one.Acquire(ctx), one.Put(ctx, []byte("half")))
	w.forward(50 * time.Second)
	must(t, one.renew(ctx))
	w.forward(50 * time.Second)
	if err := two.Acquire(ctx); err == nil {
		t.Error("taken though it was renewed")
	}
	w.forward(20 * time.Second)
	must(t, two.Acquire(ctx))
	for _, err := range []error{one.Put(ctx, []byte("x")), one.renew(ctx)} {
		if !errors.Is(err, ErrLost) {
			t.Errorf("the one that was given up writes: %v", err)
		}
	}
	if body, err := two.Get(ctx); err != nil || string(body) != "half" {
		t.Errorf("%q, %v", body, err)
	}
	must(t, one.Release(ctx), two.Put(ctx, []byte("whole"))) // its release takes nothing from the other
}

// ledgerRace: of many that want it at once exactly one gets it.
func ledgerRace(t *testing.T, c Clients, service string) {
	w := &watch{}
	for round := range 3 {
		var got atomic.Int32
		var all sync.WaitGroup
		for i := range 6 {
			l := ledger(t, c, w, service, fmt.Sprintf("%d-%d", round, i))
			all.Go(func() {
				var held *HeldError
				switch err := l.Acquire(t.Context()); {
				case err == nil:
					got.Add(1)
				case !errors.As(err, &held):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got.Load() != 1 {
			t.Errorf("%d hold it", got.Load())
		}
		w.forward(2 * time.Minute)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// deaf loses the answer to a write, and has the SDK's retry find it refused.
type deaf struct {
	S3
	lose atomic.Bool
}

func (d *deaf) PutObject(ctx context.Context, in *s3.PutObjectInput, o ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	out, err := d.S3.PutObject(ctx, in, o...)
	if err == nil && d.lose.Swap(false) {
		if _, err := in.Body.(io.Seeker).Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return d.S3.PutObject(ctx, in, o...)
	}
	return out, err
}

// TestLedgerKnowsItsOwn: a write whose answer was lost is no loss of the lease.
func TestLedgerKnowsItsOwn(t *testing.T) {
	t.Parallel()
	for name, clients := range storages(t) {
		d := &deaf{S3: clients.S3}
		clients.S3 = d
		l := ledger(t, clients, &watch{}, "own", "one")
		for i := range 3 {
			d.lose.Store(true)
			if i == 0 {
				must(t, l.Acquire(t.Context()))
				continue
			}
			if err := l.Put(t.Context(), []byte{byte('a' + i)}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if body, err := l.Get(t.Context()); err != nil || string(body) != "c" {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
}

// TestLedgerIsKept: as long as it is kept nobody takes it, an hour long; then
// somebody does, and Keep says so.
func TestLedgerIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cloud := awsfake.New(awsfake.Options{Region: awstest.Region, AccountID: awstest.AccountID})
		if _, err := cloud.S3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(stateBucket)}); err != nil {
			t.Fatal(err)
		}
		s := New(Clients{S3: cloud.S3(), STS: cloud.STS()}, Options{Landscape: &landscape.Landscape{Name: "bistro"}, Region: awstest.Region})
		one, err := s.Ledger(t.Context(), "test", "till", "one", time.Minute)
		must(t, err, one.Acquire(t.Context()))
		two, err := s.Ledger(t.Context(), "test", "till", "two", time.Minute)
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		kept := make(chan error, 1)
		go func() { kept <- one.Keep(ctx) }()
		for range 60 {
			time.Sleep(time.Minute)
			if err := two.Acquire(t.Context()); err == nil {
				t.Fatal("taken though it is kept")
			}
		}
		stop()
		must(t, <-kept)
		time.Sleep(2 * time.Minute)
		must(t, two.Acquire(t.Context()))
		if err := one.Keep(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("kept what another has: %v", err)
		}
	})
}
