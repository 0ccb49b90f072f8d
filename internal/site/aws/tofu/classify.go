package tofu

import (
	"fmt"
	"regexp"
	"strings"
)

// cause is a known way to fail. The first whose pattern fits is taken.
type cause struct {
	pattern *regexp.Regexp
	kind    error
	summary string // "": that of the diagnostic
	mend    string
	passing bool
}

func known(kind error, pattern, summary, mend string) cause {
	return cause{regexp.MustCompile(pattern), kind, summary, mend, false}
}

func passing(kind error, pattern, summary, mend string) cause {
	return cause{regexp.MustCompile(pattern), kind, summary, mend, true}
}

// causes are in the order in which they are tried: what is particular before
// what is general.
func causes() []cause {
	return append(causesHere(), causesAtAWS()...)
}

// causesHere are of this machine, the state and the program.
func causesHere() []cause {
	return []cause{
		known(ErrDisk, `(?i)no space left on device|disk quota exceeded`, "the disk of this machine is full",
			"make room and run it again; a state that could not be written is in errored.tfstate"),
		passing(ErrLocked, `(?i)error acquiring the state lock|error locking state`, "",
			"wait until that is done. When it is certain that nobody is at work there any more, `godwit aws unlock %s %s` ends the lock"),
		known(ErrStale, `(?i)saved plan is stale|plan file can no longer be applied|saved plan does not match|stale plan`, "the plan is older than the state",
			"plan again, and look at what is new"),
		known(ErrUnsaved, `(?i)failed to (save|persist|upload) state|error saving state|failed to write state|error writing state|state could not be saved`, "the state could not be saved",
			"keep errored.tfstate in the root's directory: it is the only record of what was made. Mend the cause, then push it before anything else"),
		known(ErrProvider, `(?i)failed to (query|install|resolve) .*provider|could not (retrieve|query|connect).*(provider|registry)|required plugins are not installed|inconsistent dependency lock file|provider.* checksum|failed to load plugin schemas`,
			"the AWS provider cannot be installed",
			"let this machine reach the provider registry, or name a mirror in the CLI configuration (provider_installation), and run it again"),
		passing(ErrBackend, `(?i)backend initialization required|backend configuration changed|module not installed`, "somebody else has initialised the root otherwise",
			"run it again: godwit initialises it anew"),
		known(ErrBucket, `(?i)s3 bucket .*does not exist|NoSuchBucket`, "a bucket is not there",
			"apply the account root first: it makes the bucket of the states; a bucket just made may take a minute to be seen"),
		known(ErrProtected, `(?i)instance cannot be destroyed|prevent_destroy|cannot delete protected|deletion ?protection|OperationNotPermitted.*delet`, "it is protected from being destroyed",
			"this is on purpose. To destroy it nevertheless, declare the environment unprotected, apply that, then destroy"),
	}
}

// causesAtAWS are what AWS answers.
func causesAtAWS() []cause {
	return []cause{
		known(ErrExpired, `ExpiredToken|RequestExpired|TokenRefreshRequired|(?i)token (included in the request )?(is|has) expired|sso session .*(expired|invalid)|refresh cached sso token`,
			"the credentials have expired", "sign in again (`aws sso login`, or fresh keys in the environment) and run it again; what was made is in the state"),
		known(ErrCredentials, `(?i)no valid credential sources|failed to (refresh|retrieve) (cached )?credentials|InvalidClientTokenId|UnrecognizedClientException|SignatureDoesNotMatch|InvalidAccessKeyId|AuthFailure|InvalidToken|security token included in the request is invalid|no EC2 IMDS role`,
			"there are no credentials that AWS accepts", "give some: AWS_PROFILE, `aws sso login`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; and look whether this machine's clock is right"),
		known(ErrRegion, `PermanentRedirect|AuthorizationHeaderMalformed|BucketRegionError|IllegalLocationConstraint|(?i)incorrect region|invalid aws region|OptInRequired|requested bucket from|StatusCode: 301`,
			"the region is not the right one", "aws { region } in the landscape, AWS_REGION and the region of what exists must be the same, and the account must have that region enabled"),
		passing(ErrThrottled, `Throttl(ing|ed)|RequestLimitExceeded|TooManyRequests|SlowDown|(?i)rate exceeded|PriorRequestNotComplete`,
			"AWS asks to slow down, and went on to after many tries", "wait some minutes and run it again: it goes on from here"),
		known(ErrDenied, `AccessDenied|UnauthorizedOperation|UnauthorizedAccess|(?i)not authorized to perform|is not authorized`, "", ""),
		known(ErrDNS, `(?i)no matching route ?53 ?hosted ?zone|no matching hosted zone|NoSuchHostedZone`, "the Route 53 zone of aws { domain } is not in this account",
			"make the hosted zone, let the domain's registrar point to it, and plan again"),
		passing(ErrCapacity, `InsufficientInstanceCapacity|InsufficientDBInstanceCapacity|InsufficientHostCapacity`, "AWS has none left of this type in a zone at the moment",
			"wait and run it again, or declare another instance type"),
		known(ErrQuota, `[A-Za-z]*(LimitExceeded|QuotaExceeded)[A-Za-z]*|ServiceQuotaExceeded\w*|(?i)exceeded (the|your) .*(quota|limit)|quota .* (reached|exceeded)|maximum number of (addresses|vpcs|internet gateways)`,
			"a quota of the account is reached", "ask for more in the AWS console under Service Quotas (it can take a day), or declare less, then run it again"),
		known(ErrUnavailable, `(?i)InvalidInstanceType|instance type .*(not supported|does not exist|is not available)|not supported in your requested availability zone|Unsupported: .*availability zone|cannot create a database instance.*(does not support|not (currently )?available)|RDS does not support creating a DB instance|InsufficientDBInstanceCapacity|not orderable`,
			"this type is not offered in a zone of the region", "declare a type in aws { instance = … } or { database = … } that all zones offer: `aws ec2 describe-instance-type-offerings` lists them"),
		known(ErrExists, `AlreadyExists|EntityAlreadyExists|BucketAlreadyOwnedByYou|BucketAlreadyExists|ResourceExistsException|InvalidGroup\.Duplicate|DuplicateLoadBalancerName|DuplicateTargetGroupName|ResourceAlreadyExists`,
			"there is one already that the state does not know", "if an apply was cut off before it could write that down, import it (`import` with the address above and its name), or delete it by hand; then plan again"),
		passing(ErrNetwork, `(?i)connection refused|connection reset|no such host|i/o timeout|tls handshake timeout|request send failed|context deadline exceeded|network is unreachable`,
			"there was no answer", "look whether this machine reaches AWS (or the --endpoint), and run it again"),
	}
}

var (
	action   = regexp.MustCompile(`not authorized to perform:? ([a-zA-Z0-9-]+:[A-Za-z0-9*]+)`)
	resource = regexp.MustCompile(`on resource:? (\S+)`)
	lockInfo = regexp.MustCompile(`(?m)^\s*(ID|Path|Operation|Who|Created):\s+(.*?)\s*$`)
)

// classify finds the cause of a message.
func classify(text string) Problem {
	for _, c := range causes() {
		if !c.pattern.MatchString(text) {
			continue
		}
		p := Problem{Kind: c.kind, Summary: c.summary, Mend: c.mend, Passing: c.passing}
		switch c.kind {
		case ErrLocked:
			p.Summary, p.Detail = locked(text)
		case ErrDenied:
			p.Summary, p.Mend = denied(text)
		}
		return p
	}
	return Problem{Kind: ErrDeclared, Mend: "the message is AWS's or the program's own; mend what it names in the landscape, render and plan again"}
}

func denied(text string) (summary, mend string) {
	summary = "the credentials do not allow it"
	allow := "what docs/aws.md lists"
	if m := action.FindStringSubmatch(text); m != nil {
		summary += ": " + m[1]
		allow = m[1]
	}
	if m := resource.FindStringSubmatch(text); m != nil {
		summary += " on " + strings.TrimRight(m[1], ".,;")
	}
	return summary, fmt.Sprintf("let the role that you use do %s (docs/aws.md has the whole policy, and the permissions boundary may forbid it too), and run it again", allow)
}

func locked(text string) (summary, detail string) {
	fields := map[string]string{}
	for _, m := range lockInfo.FindAllStringSubmatch(text, -1) {
		fields[m[1]] = m[2]
	}
	who, since := fields["Who"], fields["Created"]
	if who == "" {
		return "somebody else holds the lock of the state", tidy(text)
	}
	if i := strings.IndexByte(since, '.'); i > 0 {
		since = since[:i] + " UTC"
	}
	return fmt.Sprintf("%s holds the lock of the state since %s (%s)", who, since, strings.TrimPrefix(fields["Operation"], "OperationType")), "lock " + fields["ID"]
}

func lockID(text string) string {
	for _, m := range lockInfo.FindAllStringSubmatch(text, -1) {
		if m[1] == "ID" {
			return m[2]
		}
	}
	return "ID"
}
