package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"godwit/internal/fleet"
)

// The states of a Flight.
const (
	Seeking    = "no instance yet"
	Uploading  = "body incomplete"
	Unanswered = "no answer yet"
	Streaming  = "answer under way"
	SlowReader = "client reads slowly"
	Tunnel     = "upgraded"
)

// What the admin API carries beside Table, Pool and Held. Durations are
// nanoseconds unless the name says otherwise.
type (
	// HoldRequest is the body of PUT /holds/{id}.
	HoldRequest struct {
		Hosts   []string `json:"hosts"`
		LeaseMS int64    `json:"lease_ms"`
		// ExpireRoutes is where the held requests go (host to pool) when the lease
		// ends by itself; a host that is not named keeps its route.
		ExpireRoutes map[string]string `json:"expire_routes,omitempty"`
		// GraceMS is what a drain leaves requests before it takes them back or ends
		// them; 0: what the gateway was configured with.
		GraceMS int64 `json:"grace_ms,omitempty"`
	}

	// Flight is a request in flight, or one that was ended.
	Flight struct {
		State  string        `json:"state"`
		Method string        `json:"method"`
		Host   string        `json:"host"`
		Path   string        `json:"path"` // without the query, which may be secret
		Age    time.Duration `json:"age"`
		In     int64         `json:"bytes_in"`  // of the request's body
		Out    int64         `json:"bytes_out"` // of the response's body
	}

	// Settled is the answer of GET /settled: the requests that were in flight when
	// it was asked, and still are.
	Settled struct {
		Left []Flight `json:"left"`
	}

	// Disturbed counts what was done to some for the sake of others.
	Disturbed struct {
		TurnedAway int64            `json:"turned_away"` // connections, because there were too many
		Recalled   int64            `json:"recalled"`    // taken back to the gate and sent again
		Ended      map[string]int64 `json:"ended"`       // by State
	}

	// HoldStatus is a hold as observed.
	HoldStatus struct {
		ID        string        `json:"id"`
		Hosts     []string      `json:"hosts"`
		Active    bool          `json:"active"`    // false: expired, waits to be released
		Waiting   int64         `json:"waiting"`   // requests waiting now
		Departed  int64         `json:"departed"`  // requests whose client went away while waiting
		InFlight  int64         `json:"in_flight"` // requests that passed before, or pass now
		Flights   []Flight      `json:"flights"`   // of those, the oldest
		LeaseLeft time.Duration `json:"lease_left"`
		Held      Held          `json:"held"`

		ExpireRoutes map[string]string `json:"expire_routes,omitempty"`
	}

	// Stats is what the gateway sees.
	Stats struct {
		Version uint64               `json:"version"`
		Waiting int64                `json:"waiting"` // requests on hold, all holds together
		Pools   map[string]PoolStats `json:"pools"`
		Hosts   map[string]int64     `json:"hosts"` // requests in flight by routed host

		Disturbed Disturbed `json:"disturbed"`
	}

	// PoolStats is what one pool has served, by release, and what is in flight, by endpoint.
	PoolStats struct {
		Traffic  map[int]fleet.Traffic `json:"traffic"`
		InFlight map[string]int64      `json:"in_flight"`
	}

	// Changed is the answer to a change of the table.
	Changed struct {
		Version uint64 `json:"version"`
	}

	// Problem is the body of an answer that is not 2xx.
	Problem struct {
		Error string `json:"error"`
	}
)

func (r HoldRequest) lease() time.Duration { return time.Duration(r.LeaseMS) * time.Millisecond }

// decodeStrict reads one JSON object and nothing else: no unknown fields, no
// null in its place, nothing after it.
func decodeStrict(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return fmt.Errorf("not valid JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	if len(raw) == 0 || raw[0] != '{' {
		return errors.New("a JSON object is wanted")
	}
	known := json.NewDecoder(bytes.NewReader(raw))
	known.DisallowUnknownFields()
	return known.Decode(into)
}
