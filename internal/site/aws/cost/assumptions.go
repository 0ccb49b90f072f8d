package cost

import (
	"fmt"
	"strconv"
)

// Assumptions are what a declaration does not say; each can be said otherwise.
type Assumptions struct {
	Hours        float64 `json:"hours"`         // of a month
	Requests     float64 `json:"requests"`      // from outside, per second and instance behind an ingress, on average
	Blocked      float64 `json:"blocked"`       // share of them that the shield stops or counts, and logs
	Kilobytes    float64 `json:"kilobytes"`     // of an answer
	LCUs         float64 `json:"lcus"`          // capacity units of a load balancer, on average
	LogGB        float64 `json:"log_gb"`        // that an instance or a database logs in a month
	FlowGB       float64 `json:"flow_gb"`       // of flow logs per instance and month
	LogMonths    float64 `json:"log_months"`    // that logs are kept
	OutsideGB    float64 `json:"outside_gb"`    // per instance and month through a NAT gateway
	EndpointGB   float64 `json:"endpoint_gb"`   // per instance and month through interface endpoints
	BetweenGB    float64 `json:"between_gb"`    // per instance and month between zones
	VolumeGB     float64 `json:"volume_gb"`     // disk of an instance
	BackupFactor float64 `json:"backup_factor"` // backups beyond the free part, in sizes of the database
	Images       float64 `json:"images"`        // machine images kept of each service
	ImageGB      float64 `json:"image_gb"`      // that one takes
	KeyRequests  float64 `json:"key_requests"`  // of a KMS key in a month
	SecretReads  float64 `json:"secret_reads"`  // of a secret per instance and month
	TrailEvents  float64 `json:"trail_events"`  // in the account per environment and month
	ArchiveGB    float64 `json:"archive_gb"`    // in buckets per environment: access logs, states, the audit log
}

// Default assumes a small landscape with an even load.
func Default() Assumptions {
	return Assumptions{Hours: 730, Requests: 2, Blocked: 0.02, Kilobytes: 10, LCUs: 1, LogGB: 2, FlowGB: 1, LogMonths: 3, OutsideGB: 5, EndpointGB: 3, BetweenGB: 10,
		VolumeGB: 8, BackupFactor: 0.5, Images: 5, ImageGB: 2, KeyRequests: 100_000, SecretReads: 100, TrailEvents: 250_000, ArchiveGB: 20}
}

// said is an assumption in words.
type said struct {
	value float64
	text  string
}

func (a Assumptions) list() []said {
	return []said{
		{a.Hours, "hours a month"},
		{a.Requests, "requests a second from outside, on average, for each instance behind an ingress"},
		{a.Blocked, "of them stopped or counted by the shield, and so logged"},
		{a.Kilobytes, "KB in an answer"},
		{a.LCUs, "capacity units (LCU) of each load balancer on average"},
		{a.LogGB, "GB logged by each instance and database in a month"},
		{a.FlowGB, "GB of flow logs per instance and month"},
		{a.LogMonths, "months that logs are kept"},
		{a.OutsideGB, "GB per instance and month through a NAT gateway"},
		{a.EndpointGB, "GB per instance and month through interface endpoints"},
		{a.BetweenGB, "GB per instance and month between zones"},
		{a.VolumeGB, "GB disk of an instance"},
		{a.BackupFactor, "times a database's storage in backups, beyond what is free"},
		{a.Images, "machine images kept of each service"},
		{a.ImageGB, "GB in a machine image"},
		{a.KeyRequests, "requests to each KMS key in a month"},
		{a.SecretReads, "reads of secrets by each instance in a month"},
		{a.TrailEvents, "management events in a month for each environment"},
		{a.ArchiveGB, "GB in buckets for each environment"},
	}
}

// List is for people: one line each.
func (a Assumptions) List() []string {
	var all []string
	for _, s := range a.list() {
		all = append(all, strconv.FormatFloat(s.value, 'f', -1, 64)+" "+s.text)
	}
	return all
}

// check refuses what would make a bill nonsense.
func (a Assumptions) check() error {
	for _, s := range a.list() {
		if s.value < 0 || s.value > 1e12 || s.value != s.value {
			return fmt.Errorf("%v %s is not to be assumed: a number from 0 on", s.value, s.text)
		}
	}
	if a.Hours == 0 || a.Hours > 744 {
		return fmt.Errorf("%v hours a month are not to be assumed: a month has 744 at most", a.Hours)
	}
	return nil
}

// millions of requests from outside in a month.
func (a Assumptions) millions(instances float64) float64 {
	return instances * a.Requests * 3600 * a.Hours / 1e6
}
