package probe

import "time"

// Result is how the load went. Sent = OK + Failed + Interrupted.
type Result struct {
	Sent        int64            `json:"sent"`
	OK          int64            `json:"ok"` // 2xx
	Failed      int64            `json:"failed"`
	Interrupted int64            `json:"interrupted,omitempty"` // cut off because the probe itself was stopped
	Retried     int64            `json:"retried,omitempty"`     // further attempts, with Retry
	Writes      int64            `json:"writes"`                // sent with a ledger
	Reasons     map[string]int64 `json:"reasons,omitempty"`     // failed, by class
	Examples    []Failure        `json:"examples,omitempty"`    // the first few

	// Latency of the successful requests, from their intended time. Sorted from
	// a histogram of three significant digits.
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`

	LongestGap      time.Duration `json:"longest_gap_ns"`       // without any successful answer
	LongestWriteGap time.Duration `json:"longest_write_gap_ns"` // without any successful write; 0 when none was sent

	Started time.Time     `json:"started"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Samples []Sample      `json:"samples,omitempty"`
}

// Class says why a request failed.
type Class string

const (
	Timeout  Class = "timeout"  // no complete answer within the timeout
	Refused  Class = "refused"  // nobody listens
	Dial     Class = "dial"     // no connection for another reason
	Reset    Class = "reset"    // the connection was reset
	Closed   Class = "closed"   // the connection was closed before the answer was complete
	Protocol Class = "protocol" // the answer is no HTTP
	Overload Class = "overload" // MaxInFlight requests were waiting already: not sent at all
	Template Class = "template" // the request could not be made from its template: not sent at all
	// Any other class is a status: "503".
)

// Failure is an example of a failed request.
type Failure struct {
	At      time.Time     `json:"at"` // intended time
	Request string        `json:"request"`
	Key     string        `json:"key,omitempty"`
	Class   Class         `json:"class"`
	Message string        `json:"message"`
	After   time.Duration `json:"after_ns"` // from the intended time
}

// Sample is what became of the requests whose intended time lies within 100 ms.
type Sample struct {
	At     time.Duration `json:"at_ns"` // since the start
	Sent   int64         `json:"sent"`
	OK     int64         `json:"ok"`
	Failed int64         `json:"failed"`
	P99    time.Duration `json:"p99_ns"` // of the successful ones, from the intended time
	Max    time.Duration `json:"max_ns"`
}

// Window is the length of a Sample.
const Window = 100 * time.Millisecond
