// Package fleet is the observed world: releases, instances and traffic of one
// service in one environment at one instant. It is pure data; sites produce it,
// plan and rollout judge it. Everybody may import it.
package fleet

import (
	"net/netip"
	"time"

	"godwit/internal/landscape"
)

// Release is an image and the configuration of one service in one environment,
// numbered, immutable; what a rollback returns to.
type Release struct {
	Environment string                     `json:"environment"`
	Service     string                     `json:"service"`
	Number      int                        `json:"number"` // 1, 2, 3 … within environment and service
	Image       string                     `json:"image"`  // digest, "sha256:…"
	Port        int                        `json:"port"`
	Env         map[string]landscape.Value `json:"env,omitempty"`
	Health      landscape.Health           `json:"health"`
	Count       int                        `json:"count"` // instances wanted
	CreatedAt   time.Time                  `json:"created_at"`
	// SecretVersion is, on a site that keeps what env.NAME gave in a secret, the
	// version of it; "" where Env holds the values, or none are taken. It tells
	// nothing of them.
	SecretVersion string `json:"secret_version,omitempty"`
	// Forgotten: the values of its variables were removed with what ran; nothing can
	// be launched from it any more.
	Forgotten bool `json:"forgotten,omitempty"`
}

// State of an instance.
type State string

const (
	Starting State = "starting" // launched, not yet ready
	Ready    State = "ready"    // answers its health check
	Draining State = "draining" // gets no new requests
	Dead     State = "dead"     // ended; kept until retired, for its logs and exit status
)

// Instance is one running copy of a release.
type Instance struct {
	ID        string         `json:"id"`
	Release   int            `json:"release"`
	Address   netip.AddrPort `json:"address"`
	State     State          `json:"state"`
	Reason    string         `json:"reason,omitempty"` // why it is not ready
	StartedAt time.Time      `json:"started_at"`
}

// Weights is the share of new requests per release number. Missing means 0;
// at least one must be above 0.
type Weights map[int]int

// Traffic is what a release has served since it was first shifted to: counters
// that only grow, so that a judge subtracts two observations.
type Traffic struct {
	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`   // of the requests, those that failed: 5xx, or the connection
	Shielded uint64 `json:"shielded"` // of the errors, those that another release answered instead; clients saw none
	// Latency counts requests by upper bound: bucket i holds those at most
	// LatencyBounds[i]; the last bucket those above all bounds.
	Latency []uint64 `json:"latency,omitempty"`
}

// Fleet is the instances of one service in one environment.
type Fleet struct {
	Environment string          `json:"environment"`
	Service     string          `json:"service"`
	Releases    []Release       `json:"releases"` // those with instances
	Instances   []Instance      `json:"instances"`
	Weights     Weights         `json:"weights"`
	Traffic     map[int]Traffic `json:"traffic,omitempty"` // by release number
}
