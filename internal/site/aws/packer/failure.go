package packer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"
)

// mend says what to do about an error of EC2, by what its code begins with.
type mend struct {
	code string
	kind error
	text string
}

func mends() []mend {
	return []mend{
		{"cannot bake: ", ErrFailed, ""}, // of the script on the builder, which says the mend itself
		{"ExpiredToken", ErrRefused, "your credentials have expired: log in again (`aws sso login`), then bake again"},
		{"RequestExpired", ErrRefused, "your credentials have expired, or this machine's clock is wrong: log in again"},
		{"AuthFailure", ErrRefused, "AWS does not know these credentials: log in again, and look whether the region is enabled in the account"},
		{"InvalidClientTokenId", ErrRefused, "AWS does not know these credentials: log in again"},
		{"UnauthorizedOperation", ErrRefused, "these credentials may not do that: docs/aws.md has the policy that a bake needs"},
		{"AccessDenied", ErrRefused, "these credentials may not do that: docs/aws.md has the policy that a bake needs"},
		{"OptInRequired", ErrRefused, "the region is not enabled in this account: enable it, or choose another"},
		{"VcpuLimitExceeded", ErrRefused, "the account's quota of processors is used up: ask for more (Service Quotas), or wait until instances have ended"},
		{"InstanceLimitExceeded", ErrRefused, "the account's quota of instances is used up: ask for more (Service Quotas), or wait until instances have ended"},
		{"MaxSpotInstanceCountExceeded", ErrRefused, "the account's quota of instances is used up: ask for more (Service Quotas)"},
		{"SnapshotLimitExceeded", ErrRefused, "the account's quota of snapshots is used up: prune old machine images (`godwit aws prune`)"},
		{"AMIQuotaExceeded", ErrRefused, "the account's quota of AMIs is used up: prune old machine images (`godwit aws prune`)"},
		{"ResourceLimitExceeded", ErrRefused, "a quota of the account is used up: ask for more (Service Quotas)"},
		{"InvalidAMIID", ErrRefused, "the base is gone or is not in this region: leave it out for the newest Amazon Linux 2023, or choose another"},
		{"No AMI was found matching filters", ErrRefused, "no base matches in this region: leave it out for the newest Amazon Linux 2023, or choose another"},
		{"Unsupported:", ErrRefused, "the zone does not have this instance type, or it is of another architecture than the image: choose another --instance"},
		{"InvalidParameterValue: The architecture", ErrRefused, "the instance type is of another architecture than the image: choose another --instance"},
		{"is used by an existing AMI", ErrFailed, "the same image was baked in this very second: bake again to find that one"},
		{"InsufficientInstanceCapacity", ErrFailed, "AWS has no such machine free in this zone just now: try again, or choose another --instance or subnet"},
		{"InvalidSubnetID", ErrRefused, "there is no such subnet in this region"},
		{"InvalidGroup", ErrRefused, "there is no such security group in the network of the subnet"},
		{"VPCIdNotSpecified", ErrRefused, "the account has no default network: give a subnet"},
		{"Client.InternalError", ErrRefused, "the builder could not start: look whether the KMS key is enabled and lets these credentials and EC2 use it"},
		{"KMS", ErrRefused, "the KMS key cannot be used: look whether it is enabled and lets these credentials and EC2 use it"},
		{"Timeout waiting for SSH", ErrFailed, "the builder cannot be reached on port 22: look at subnet, security group and the address it lets in, or use a session"},
		{"RequestLimitExceeded", ErrFailed, "AWS has had too many requests: try again in some minutes"},
		{"Throttling", ErrFailed, "AWS has had too many requests: try again in some minutes"},
	}
}

// explain turns what Packer said into an error with a mend.
func (j job) explain(ctx context.Context, what string, out output, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s was interrupted: %w; %s", what, context.Cause(ctx), j.leftovers())
	}
	said := strings.Join(out.errors, "\n")
	if said == "" {
		said = out.last
	}
	for _, m := range mends() {
		if !strings.Contains(said, m.code) {
			continue
		}
		line := lineWith(said, m.code)
		if m.text == "" {
			return fmt.Errorf("%w: %s", m.kind, line)
		}
		return fmt.Errorf("%w: %s (%s)", m.kind, m.text, line)
	}
	return fmt.Errorf("%w: %s: %w: %s", ErrFailed, what, err, strings.Join(tail(out.errors, 12), "; "))
}

// explainAPI does the same for what godwit asks AWS itself.
func explainAPI(what string, err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		for _, m := range mends() {
			if m.text != "" && strings.HasPrefix(api.ErrorCode(), strings.TrimSuffix(m.code, ":")) {
				return fmt.Errorf("%w: %s: %s: %w", m.kind, what, m.text, err)
			}
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

func lineWith(text, part string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if strings.Contains(line, part) {
			return line
		}
	}
	return text
}

func tail(lines []string, n int) []string {
	return lines[max(0, len(lines)-n):]
}
