package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/smithy-go"

	"godwit/internal/site"
)

// Kind is what an error of AWS comes down to.
type Kind string

const (
	KindCredentials Kind = "credentials" // there are none
	KindExpired     Kind = "expired"     // they were good once
	KindIdentity    Kind = "identity"    // they are not valid here
	KindDenied      Kind = "denied"      // they do not allow it
	KindThrottled   Kind = "throttled"
	KindQuota       Kind = "quota"
	KindCapacity    Kind = "capacity" // AWS has no machine left
	KindOffering    Kind = "offering" // not a machine that there is in the zone
	KindMissing     Kind = "missing"
	KindRequest     Kind = "request" // AWS does not take it
	KindUnreachable Kind = "unreachable"
	KindOther       Kind = "other"
)

// Error is an error of AWS in words: what was tried, what AWS says, how to mend it.
type Error struct {
	Kind  Kind
	Doing string // "looking for Auto Scaling groups"
	Says  string // AWS's own words
	Mend  string
	cause error
	means error // for the caller of a site; nil: it may pass
}

func (e *Error) Error() string {
	text := e.Says
	if e.Doing != "" {
		text = e.Doing + ": " + text
	}
	if e.Mend != "" {
		text += "; " + e.Mend
	}
	return text
}

// Unwrap is the cause, and what it means to the caller of a site.
func (e *Error) Unwrap() []error {
	means := e.means
	if means == nil && e.Kind == KindMissing {
		means = site.ErrNotFound
	}
	return slices.DeleteFunc([]error{e.cause, means}, func(err error) bool { return err == nil })
}

// Retryable says whether the same call may succeed later without anything being
// mended. The SDK has retried it already.
func (e *Error) Retryable() bool {
	return e.Kind == KindThrottled || e.Kind == KindCapacity || e.Kind == KindUnreachable || e.Kind == KindOther
}

// Explain puts any error of AWS into words; others it leaves as they are.
func Explain(err error) error { return explain("", err) }

func explain(doing string, err error) error {
	var known *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		if doing == "" {
			return err
		}
		return fmt.Errorf("%s: %w", doing, err)
	}
	e := &Error{Kind: KindOther, Doing: doing, Says: err.Error(), cause: err}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Says = strings.TrimSpace(api.ErrorCode() + ": " + api.ErrorMessage())
		e.Kind = kindOf(api.ErrorCode(), api.ErrorMessage())
		e.Mend = mends()[e.Kind]
		if e.Kind == KindDenied {
			e.Mend = allow(err, api.ErrorMessage())
		}
		return e
	}
	e.Kind = kindOfLocal(err)
	e.Mend = mends()[e.Kind]
	if doing == "" && e.Kind == KindOther {
		return err // nothing is known of it
	}
	return e
}

// kindOfLocal is of what went wrong before AWS answered.
func kindOfLocal(err error) Kind {
	var quota ratelimit.QuotaExceededError
	var dns *net.DNSError
	var op *net.OpError
	var u *url.Error
	text := err.Error()
	switch {
	case strings.Contains(text, "get credentials") || strings.Contains(text, "retrieve credentials") ||
		strings.Contains(text, "failed to refresh cached credentials") || strings.Contains(text, "get identity"):
		if strings.Contains(text, "expired") {
			return KindExpired
		}
		return KindCredentials
	case strings.Contains(text, "Missing Region") || strings.Contains(text, "missing region"):
		return KindIdentity
	case errors.As(err, &quota):
		return KindThrottled
	case errors.As(err, &dns), errors.As(err, &op), errors.As(err, &u):
		return KindUnreachable
	}
	return KindOther
}

// mends say for each kind what helps.
func mends() map[Kind]string {
	return map[Kind]string{
		KindCredentials: "log in: `aws sso login`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
		KindExpired:     "log in again: `aws sso login`, or fetch a new session token; then call again, it goes on where it stopped",
		KindIdentity:    "check that the credentials belong to the account, that the region is the landscape's, that it is enabled in the account, and the clock",
		KindThrottled:   "AWS still refuses after several attempts with growing pauses: wait a minute, or let fewer rollouts run side by side",
		KindQuota:       "ask for more in the console under Service Quotas, or use smaller or fewer instances; nothing needs to be taken back first",
		KindCapacity:    "AWS has no such machine left just now: try again later, or choose another instance type in the landscape's aws block",
		KindOffering:    "choose an instance type that every zone has; `aws ec2 describe-instance-type-offerings --location-type availability-zone` lists them",
		KindMissing:     "make it: `godwit aws apply`",
		KindRequest:     "compare what is there with `godwit aws plan`",
		KindUnreachable: "check the network, the proxy, the region's name and --endpoint",
	}
}

// kinds are by error code; a code that ends in a star stands for all that begin so.
func kinds() []struct {
	kind  Kind
	codes string
} {
	return []struct {
		kind  Kind
		codes string
	}{
		{KindExpired, "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired"},
		{KindIdentity, "AuthFailure InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch InvalidAccessKeyId IncompleteSignature " +
			"MissingAuthenticationToken OptInRequired AuthorizationHeaderMalformed InvalidSignatureException PermanentRedirect RequestTimeTooSkewed"},
		{KindDenied, "AccessDenied AccessDeniedException UnauthorizedOperation AuthorizationError NotAuthorized Client.UnauthorizedOperation"},
		{KindThrottled, "Throttling ThrottlingException ThrottledException RequestLimitExceeded TooManyRequestsException RequestThrottled " +
			"RequestThrottledException SlowDown PriorRequestNotComplete EC2ThrottledException BandwidthLimitExceeded"},
		{KindQuota, "VcpuLimitExceeded InstanceLimitExceeded MaxSpotInstanceCountExceeded LimitExceeded LimitExceededException ResourceLimitExceeded " +
			"TooMany* VolumeLimitExceeded MaxIOPSLimitExceeded AddressLimitExceeded LaunchTemplateVersionLimitExceeded* ServiceQuotaExceededException " +
			"InsufficientFreeAddressesInSubnet"},
		{KindCapacity, "InsufficientInstanceCapacity InsufficientHostCapacity InsufficientReservedInstanceCapacity InsufficientCapacity InsufficientCapacityOnHost"},
		{KindOffering, "Unsupported InvalidInstanceType InstanceTypeNotSupported"},
		{KindMissing, "*NotFound *NotFoundException *NotFoundFault NoSuchBucket NoSuchKey NotFound *.NotFoundException *NotFound.* InvalidGroup.NotFound *DoesNotExist"},
		{KindRequest, "ValidationError ValidationException Invalid* Malformed* MissingParameter ScalingActivityInProgress ResourceInUse ResourceContention*"},
	}
}

func kindOf(code, message string) Kind {
	for _, k := range kinds() {
		for pattern := range strings.FieldsSeq(k.codes) {
			if !matches(pattern, code) {
				continue
			}
			// Auto Scaling says ValidationError of everything, what is missing included.
			if k.kind == KindRequest && strings.Contains(message, "not found") {
				return KindMissing
			}
			return k.kind
		}
	}
	return KindOther
}

// matches compares a code with a pattern: a star at one or both of its ends.
func matches(pattern, code string) bool {
	begins, ends := strings.HasPrefix(pattern, "*"), strings.HasSuffix(pattern, "*")
	core := strings.Trim(pattern, "*")
	switch {
	case begins && ends:
		return strings.Contains(code, core)
	case begins:
		return strings.HasSuffix(code, core)
	case ends:
		return strings.HasPrefix(code, core)
	}
	return code == pattern
}

var action = regexp.MustCompile(`(?:perform|action)[: ]+([a-zA-Z0-9-]+:[A-Za-z0-9*]+)`)

// allow names the action that a policy has to allow.
func allow(err error, message string) string {
	name := "the action"
	if m := action.FindStringSubmatch(message); m != nil {
		name = m[1]
	} else {
		var op *smithy.OperationError
		if errors.As(err, &op) {
			name = op.ServiceID + " " + op.OperationName
		}
	}
	return "allow " + name + " in the policy of these credentials, see docs/aws.md, or use others; a permissions boundary or an organisation's policy may forbid it too"
}

// cannot says of a launch that AWS could not make whether trying again may help,
// from the message of a scaling activity.
func cannot(message string) Kind {
	low := strings.ToLower(message)
	for _, k := range []struct {
		kind Kind
		says []string
	}{
		{KindCapacity, []string{"do not have sufficient", "insufficient capacity", "insufficientinstancecapacity", "insufficient instance capacity"}},
		{KindQuota, []string{"vcpu", "limit exceeded", "limitexceeded", "quota", "requested more", "free addresses"}},
		{KindOffering, []string{"not supported in your requested availability zone", "unsupported", "not supported", "invalid instance type", "instance type"}},
		{KindDenied, []string{"not authorized", "access denied", "kms", "invalidkmskey", "client.internalerror"}},
		{KindMissing, []string{"does not exist", "not found", "notfound"}},
	} {
		for _, s := range k.says {
			if strings.Contains(low, s) {
				return k.kind
			}
		}
	}
	return KindOther
}
