package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// ErrLost: the lease was taken over. Who held it must stop: another works on.
var ErrLost = errors.New("the lease was taken over")

// HeldError: another holds the lease.
type HeldError struct {
	Key, Holder string
	Expires     time.Time
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is being written by %s: wait for it; should it have died, its lease ends at %s and the next may go on where it stopped",
		e.Key, e.Holder, e.Expires.Format(time.RFC3339))
}

// Unwrap: nothing was done.
func (e *HeldError) Unwrap() error { return site.ErrInvalid }

// Ledger is an object in the state bucket in which one rollout at a time writes
// what it does: opaque bytes, and a lease that says who may. Each write replaces
// exactly the version that was read, so two never both believe to hold it. Who
// dies leaves a lease that expires, and bytes that say how far it came.
//
// Holders compare times of their own clocks: these may differ by less than the
// lease's length.
type Ledger struct {
	store       S3
	bucket, key string
	holder      string
	length      time.Duration
	now         func() time.Time

	mu      sync.Mutex
	tag     string // of the version that this holder wrote last
	writes  int
	content content
	held    bool
}

// content is the object.
type content struct {
	Godwit  int       `json:"godwit"`
	Holder  string    `json:"holder,omitempty"`
	Write   int       `json:"write"` // counts, so that a holder knows its own
	Expires time.Time `json:"expires,omitzero"`
	Body    []byte    `json:"body,omitempty"`
}

// Ledger is that of a service's rollouts. holder names who writes, for people and
// for the lease: it must be unique to a process. The lease lasts length from each
// write or Keep.
func (s *Site) Ledger(ctx context.Context, environment, service, holder string, length time.Duration) (*Ledger, error) {
	who, err := s.clients.WhoAmI(ctx)
	if err != nil {
		return nil, err
	}
	account := convention.Account{Landscape: s.declared().Name, AccountID: who.Account, Region: s.options.Region}
	l := &Ledger{store: s.clients.S3, bucket: account.StateBucket(), key: convention.JournalKey(environment, service),
		holder: holder, length: length, now: s.options.Now}
	if _, err := s.clients.S3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &l.bucket}); err != nil {
		return nil, explain("looking for the state bucket "+l.bucket, err)
	}
	return l, nil
}

// Acquire takes the lease: *HeldError when another holds it and it has not expired.
func (l *Ledger) Acquire(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.read(ctx); err != nil {
		return err
	}
	if c := l.content; c.Holder != "" && c.Holder != l.holder && l.now().Before(c.Expires) {
		return &HeldError{Key: l.key, Holder: c.Holder, Expires: c.Expires}
	}
	l.held, l.writes = true, l.content.Write
	if err := l.write(ctx, l.content.Body); err != nil {
		l.held = false
		if errors.Is(err, ErrLost) { // another was faster
			if err := l.read(ctx); err != nil {
				return err
			}
			return &HeldError{Key: l.key, Holder: l.content.Holder, Expires: l.content.Expires}
		}
		return err
	}
	return nil
}

// Get is what was written last, by whomever; nil when nothing was.
func (l *Ledger) Get(ctx context.Context) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		return bytes.Clone(l.content.Body), nil // nobody else writes
	}
	err := l.read(ctx)
	return bytes.Clone(l.content.Body), err
}

// Put writes, and renews the lease. ErrLost when it was taken over.
func (l *Ledger) Put(ctx context.Context, body []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(ctx, bytes.Clone(body))
}

// Keep renews the lease until ctx ends, then returns nil; ErrLost when it was
// taken over. Any other error is retried until the lease has expired.
func (l *Ledger) Keep(ctx context.Context) error {
	tick := time.NewTicker(max(l.length/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := l.renew(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (l *Ledger) renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A call that hangs must not hide that the lease has run out.
	within, cancel := context.WithTimeout(ctx, max(l.content.Expires.Sub(l.now()), l.length/4))
	defer cancel()
	err := l.write(within, l.content.Body)
	if err != nil && !errors.Is(err, ErrLost) && l.now().Before(l.content.Expires) {
		return nil
	}
	return err
}

// Release gives the lease back; what was written stays.
func (l *Ledger) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held {
		return nil
	}
	next := l.content
	next.Holder, next.Expires, next.Write = "", time.Time{}, l.writes+1
	err := l.replace(ctx, next)
	if err == nil || errors.Is(err, ErrLost) {
		l.held, err = false, nil
	}
	return err
}

func (l *Ledger) write(ctx context.Context, body []byte) error {
	if !l.held {
		return fmt.Errorf("writing %s: %w", l.key, ErrLost)
	}
	next := content{Godwit: 1, Holder: l.holder, Write: l.writes + 1, Expires: l.now().Add(l.length).UTC(), Body: body}
	err := l.replace(ctx, next)
	if errors.Is(err, ErrLost) {
		l.held = false
	}
	return err
}

// replace writes in place of the version that was read last.
func (l *Ledger) replace(ctx context.Context, next content) error {
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	in := &s3.PutObjectInput{Bucket: &l.bucket, Key: &l.key, Body: bytes.NewReader(raw), ContentType: aws.String("application/json")}
	if l.tag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = aws.String(l.tag)
	}
	out, err := l.store.PutObject(ctx, in)
	switch {
	case err == nil:
		l.tag, l.content, l.writes = aws.ToString(out.ETag), next, next.Write
		return nil
	case refused(err):
		return l.mine(ctx, next)
	}
	return explain("writing s3://"+l.bucket+"/"+l.key, err)
}

// mine: a write that was repeated, its first answer lost, is refused though it is there.
func (l *Ledger) mine(ctx context.Context, next content) error {
	if err := l.read(ctx); err != nil {
		return err
	}
	if c := l.content; c.Holder == next.Holder && c.Write == next.Write && bytes.Equal(c.Body, next.Body) && next.Holder != "" {
		l.writes = c.Write
		return nil
	}
	return fmt.Errorf("%s is written by %s now: %w", l.key, l.content.Holder, ErrLost)
}

// refused: the version is not the one that was to be replaced.
func refused(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey":
		return true
	}
	return false
}

func (l *Ledger) read(ctx context.Context) error {
	out, err := l.store.GetObject(ctx, &s3.GetObjectInput{Bucket: &l.bucket, Key: &l.key})
	var none *types.NoSuchKey
	if errors.As(err, &none) {
		l.tag, l.content = "", content{}
		return nil
	}
	if err != nil {
		return explain("reading s3://"+l.bucket+"/"+l.key, err)
	}
	raw, err := io.ReadAll(out.Body)
	_ = out.Body.Close()
	if err != nil {
		return explain("reading s3://"+l.bucket+"/"+l.key, err)
	}
	var c content
	if err := json.Unmarshal(raw, &c); err != nil || c.Godwit != 1 {
		return fmt.Errorf("s3://%s/%s is none of this godwit's: update godwit, or move the object away when no rollout runs", l.bucket, l.key)
	}
	l.tag, l.content = aws.ToString(out.ETag), c
	return nil
}
