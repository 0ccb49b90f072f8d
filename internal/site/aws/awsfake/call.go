package awsfake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Call is one attempt of a call of the API.
type Call struct {
	Service   string // "Auto Scaling", as the SDK names it
	Operation string
	Input     any // pointer to the SDK's input
}

// Faults are what a test has happen to calls. The cloud is not locked meanwhile.
type Faults struct {
	Before func(Call) error // an error: the call did nothing
	After  func(Call) error // an error: it did everything, and the answer is lost
}

// SetFaults replaces what happens to calls.
func (c *Cloud) SetFaults(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
}

// SetLag makes the first Describe after a change answer as the same one did
// before it, unless the change is older than that: AWS is consistent in the end
// only. 0 ends it.
func (c *Cloud) SetLag(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lag, c.memos = d, map[string]memo{}
}

// change notes that something did.
func (c *Cloud) change() { c.changes = append(c.changes, c.now) }

// stale says whether an answer from before so many changes can still be seen.
func (c *Cloud) stale(m memo) bool {
	return m.changes < len(c.changes) && c.now.Before(c.changes[m.changes].Add(c.lag))
}

// Calls are all attempts so far.
func (c *Cloud) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Call(nil), c.calls...)
}

// memo is an answer that was given, and after how many changes.
type memo struct {
	changes int
	out     any
	err     error
}

type kind int

const (
	write kind = iota
	read
	exact // read, and never lags
)

// call is what every method of every client does: it attempts as often as the
// SDK would, and wraps errors as the SDK does.
func call[In, Out any](ctx context.Context, c *Cloud, service, operation string, k kind, in *In, do func(*In) (*Out, error)) (*Out, error) {
	if in == nil {
		in = new(In)
	}
	standard := retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = c.options.Attempts })
	for attempt := 1; ; attempt++ {
		out, err := once(ctx, c, Call{service, operation, in}, k, in, do)
		if err == nil {
			return out, nil
		}
		if attempt < c.options.Attempts && standard.IsErrorRetryable(err) {
			delay, _ := standard.RetryDelay(attempt, err)
			if waitFor(ctx, delay) == nil {
				continue
			}
			err = canceled(ctx)
		}
		return nil, &smithy.OperationError{ServiceID: service, OperationName: operation, Err: err}
	}
}

func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func canceled(ctx context.Context) error { return &aws.RequestCanceledError{Err: ctx.Err()} }

func once[In, Out any](ctx context.Context, c *Cloud, this Call, k kind, in *In, do func(*In) (*Out, error)) (*Out, error) {
	if ctx.Err() != nil {
		return nil, canceled(ctx)
	}
	c.mu.Lock()
	c.calls = append(c.calls, this)
	faults := c.faults
	c.mu.Unlock()
	if faults.Before != nil {
		if err := faults.Before(this); err != nil {
			return nil, response(err)
		}
	}
	out, err := locked(c, this, k, in, do)
	if faults.After != nil {
		if err := faults.After(this); err != nil {
			return nil, response(err)
		}
	}
	if err != nil {
		return nil, response(err)
	}
	return out, nil
}

func locked[In, Out any](c *Cloud, this Call, k kind, in *In, do func(*In) (*Out, error)) (*Out, error) {
	defer c.enter()()
	if k == write {
		out, err := do(in)
		if err == nil {
			c.change()
		}
		return out, err
	}
	out, err := do(in)
	if c.lag == 0 || k == exact {
		return out, err
	}
	key := fmt.Sprint(this.Service, this.Operation, written(in))
	earlier, known := c.memos[key]
	c.memos[key] = memo{len(c.changes), out, err}
	if known && c.stale(earlier) {
		out, _ = earlier.out.(*Out)
		return out, earlier.err
	}
	return out, err
}

func written(in any) string {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Sprintf("%+v", in)
	}
	return string(b)
}

// failure is an error of the API that the SDK has no type for.
type failure struct {
	smithy.GenericAPIError
	status int
}

// Unwrap lets errors.As find the SDK's generic error.
func (f *failure) Unwrap() error { return &f.GenericAPIError }

func fail(status int, code, format string, args ...any) error {
	return &failure{smithy.GenericAPIError{Code: code, Message: fmt.Sprintf(format, args...), Fault: smithy.FaultClient}, status}
}

func validation(format string, args ...any) error {
	return fail(http.StatusBadRequest, "ValidationError", format, args...)
}

// response wraps an error of the API as an answer of HTTP; other errors are as they are.
func response(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err
	}
	status := http.StatusBadRequest
	var f *failure
	if errors.As(err, &f) {
		status = f.status
	}
	var m *missing
	if errors.As(err, &m) {
		status = http.StatusNotFound
	}
	return &awshttp.ResponseError{RequestID: "fake", ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: http.Header{}}}, Err: err}}
}

// Throttled is what AWS answers when it is asked too often.
func Throttled(call Call) error {
	switch call.Service {
	case ec2ID:
		return fail(http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded.")
	case s3ID:
		return fail(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
	case secretsID:
		return fail(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
	}
	return fail(http.StatusBadRequest, "Throttling", "Rate exceeded")
}

// Expired is what AWS answers to credentials whose time is over.
func Expired(call Call) error {
	switch call.Service {
	case ec2ID:
		return fail(http.StatusBadRequest, "RequestExpired", "Request has expired.")
	case secretsID:
		return fail(http.StatusBadRequest, "ExpiredTokenException", "The security token included in the request is expired")
	}
	return fail(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
}

// Denied is what AWS answers to who may not.
func Denied(call Call) error {
	if call.Service == ec2ID {
		return fail(http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation.")
	}
	return fail(http.StatusForbidden, "AccessDenied", "User is not authorized to perform: %s", call.Operation)
}

// page cuts a part out of all, where a token says, and returns the token of the next.
func page[T any](c *Cloud, all []T, token *string, asked *int32, most int) ([]T, *string, error) {
	size := most
	if asked != nil && int(*asked) < size {
		size = int(*asked)
	}
	if c.options.Page > 0 && c.options.Page < size {
		size = c.options.Page
	}
	from := 0
	if token != nil {
		n, err := strconv.Atoi(*token)
		if err != nil || n < 0 || n > len(all) {
			return nil, nil, validation("The token '%s' is invalid", *token)
		}
		from = n
	}
	to := min(from+size, len(all))
	if to == len(all) {
		return all[from:to], nil, nil
	}
	return all[from:to], aws.String(strconv.Itoa(to)), nil
}

// copied is a deep copy by way of JSON, also from a request's type to the
// answer's where their fields have the same names. What is nil or empty in from
// leaves to as it is.
func copied(to, from any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	prune(fields)
	if b, err = json.Marshal(fields); err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

func prune(fields map[string]any) {
	for name, value := range fields {
		switch v := value.(type) {
		case nil:
			delete(fields, name)
		case string:
			if v == "" {
				delete(fields, name)
			}
		case []any:
			if len(v) == 0 {
				delete(fields, name)
			}
			for _, one := range v {
				if m, ok := one.(map[string]any); ok {
					prune(m)
				}
			}
		case map[string]any:
			prune(v)
		}
	}
}
