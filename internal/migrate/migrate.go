// Package migrate moves a source into an environment: the steps of sync,
// cutover, rollback and finish, their checks and their verification. The order
// of a cutover is visible in one function, Switch. What Postgres must do for it
// is in package postgres below; what the gateway must do is Traffic.
package migrate

import (
	"context"
	"time"
)

// Side is who holds the truth.
type Side string

const (
	Source Side = "source"
	Target Side = "target"
)

// Other is the other side.
func (s Side) Other() Side {
	if s == Source {
		return Target
	}
	return Source
}

// Held is what a hold did to clients.
type Held struct {
	Requests int64         `json:"requests"` // requests that waited
	Longest  time.Duration `json:"longest"`  // longest wait of one request
	Total    time.Duration `json:"total"`    // from hold to release
	Expired  bool          `json:"expired"`  // the lease ended before the release

	Recalled int64            `json:"recalled,omitempty"` // requests without an answer that were taken back and sent again
	EndedBy  map[string]int64 `json:"ended_by,omitempty"` // how many were ended, so that nobody waits for them, by their state
	Ended    []Ended          `json:"ended,omitempty"`    // of those, the first
}

// Ended is a request that was ended: an upload that did not come, a stream, a
// client that reads slowly, a tunnel. Never one that may have been carried out
// and has no answer.
type Ended struct {
	State  string        `json:"state"`
	Method string        `json:"method"`
	Host   string        `json:"host"`
	Path   string        `json:"path"`
	Age    time.Duration `json:"age"`
	In     int64         `json:"bytes_in"`
	Out    int64         `json:"bytes_out"`
}

// Traffic is the gateway, as a migration sees it.
type Traffic interface {
	// Hold makes new requests of the migration's routes wait. The hold ends by
	// itself after lease, and its requests go to a side then. Holding again renews
	// the lease; it fails when the hold has ended by itself.
	Hold(ctx context.Context, lease time.Duration, to Side) error
	// Settle gives the requests that are in flight now a while to end, without
	// holding anybody.
	Settle(ctx context.Context) error
	// Drained waits until no request of these routes is in flight. The error names
	// those that are.
	Drained(ctx context.Context) error
	// Route points the routes at a side; requests on hold stay on hold.
	Route(ctx context.Context, to Side) error
	// Release ends the hold; requests go where the route points.
	Release(ctx context.Context) (Held, error)
}
