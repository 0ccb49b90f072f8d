// Package gateway is the data path in front of everything: it routes by host,
// balances over instances, holds requests during a cutover, drains, and shields
// clients from a new release that fails. It reads an immutable table, swapped
// atomically, and reports what it sees. It runs as a process of its own, goes
// on without the engine, and starts from its last good table.
//
// It imports neither site nor store. Others talk to it through gateway/client.
package gateway

import "godwit/internal/fleet"

// Table is what the gateway knows of the world. A Table is never changed, only
// replaced.
type Table struct {
	Version uint64           `json:"version"`
	Pools   map[string]Pool  `json:"pools"`  // by name: "production/till", "source/datacenter/till"
	Routes  map[string]Route `json:"routes"` // by host, lower case, without port
}

// Pool is a set of endpoints that serve the same requests.
type Pool struct {
	Endpoints []Endpoint `json:"endpoints"`
	// Weights is the share of requests by release. Endpoints of a release
	// without weight get no new requests.
	Weights fleet.Weights `json:"weights"`
}

// Endpoint is one place to send a request to.
type Endpoint struct {
	ID      string `json:"id"`
	Address string `json:"address"`       // host:port; a name is looked up for every new connection
	Via     string `json:"via,omitempty"` // unix socket of the door through which Address is dialled; "" dials directly
	TLS     string `json:"tls,omitempty"` // host name that its certificate must be for, not with Via; "" speaks plain HTTP
	Release int    `json:"release"`
}

// Route sends the requests for a host to a pool.
type Route struct {
	Pool string `json:"pool"`
}
