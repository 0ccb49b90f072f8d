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
}

// Traffic is the gateway, as a migration sees it.
type Traffic interface {
	// Hold makes new requests of the migration's routes wait. The hold ends by
	// itself after lease. Holding again renews the lease.
	Hold(ctx context.Context, lease time.Duration) error
	// Drained waits until no request of these routes is in flight.
	Drained(ctx context.Context) error
	// Route points the routes at a side; requests on hold stay on hold.
	Route(ctx context.Context, to Side) error
	// Release ends the hold; requests go where the route points.
	Release(ctx context.Context) (Held, error)
}
