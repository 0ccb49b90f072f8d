package cost

import (
	"godwit/internal/landscape"
)

// fleet is how many instances of an environment there are.
type fleet struct {
	least, most               float64 // all
	outsideLeast, outsideMost float64 // behind an ingress
}

// environment writes what is rendered for an environment, in the order in which
// one would ask for it.
func (w *writer) environment(l *landscape.Landscape, e landscape.Environment, a Assumptions) {
	in := l.AWS.In(e.Name)
	f := w.instances(l, e, a)
	w.databases(l, in, a)
	w.balancers(l, in, f, a)
	w.network(l, in, f, a)
	w.watching(l, f, a)
	w.keeping(l, f, a)
}

func (w *writer) instances(l *landscape.Landscape, e landscape.Environment, a Assumptions) fleet {
	var f fleet
	for _, s := range l.Services {
		least, most := float64(s.Scale.Min), float64(s.Scale.Max)
		kind := l.AWS.Service(e.Name, s.Name).Instance
		w.line("ec2/"+kind, "EC2 "+kind, s.Name, least*a.Hours, most*a.Hours)
		f.least += least
		f.most += most
		if public(l, s.Name) {
			f.outsideLeast += least
			f.outsideMost += most
		}
	}
	w.line("ebs/gp3", "EBS gp3", "", f.least*a.VolumeGB, f.most*a.VolumeGB)
	return f
}

func (w *writer) databases(l *landscape.Landscape, in landscape.AWSEnvironment, a Assumptions) {
	for _, d := range l.Databases {
		w.flat("rds/"+in.Database, "RDS "+in.Database+", with standby", d.Name, a.Hours)
		w.flat("rds/storage", "RDS storage, with standby", d.Name, float64(in.Storage))
		w.flat("rds/backup", "RDS backups", d.Name, float64(in.Storage)*a.BackupFactor)
	}
}

func (w *writer) balancers(l *landscape.Landscape, in landscape.AWSEnvironment, f fleet, a Assumptions) {
	if len(l.Ingresses) > 0 {
		w.flat("alb/hour", "load balancer", "public", a.Hours)
		w.flat("alb/lcu", "load balancer, capacity", "public", a.LCUs*a.Hours)
		w.flat("ipv4/hour", "public addresses of the load balancer", "", float64(l.AWS.Zones)*a.Hours)
		w.flat("waf/acl", "WAF", "", 1)
		w.flat("waf/rule", "WAF rules", "", float64(rules(l.Shield, len(in.Gateways) > 0)))
		w.line("waf/requests", "WAF requests", "", a.millions(f.outsideLeast), a.millions(f.outsideMost))
		gb := a.Kilobytes // KB of one answer are GB of a million
		w.line("transfer/out", "data to the internet", "", a.millions(f.outsideLeast)*gb, a.millions(f.outsideMost)*gb)
	}
	for _, s := range l.Services {
		if needed(l, s.Name) {
			w.flat("alb/hour", "load balancer, internal", s.Name, a.Hours)
			w.flat("alb/lcu", "load balancer, internal, capacity", s.Name, a.LCUs*a.Hours)
		}
	}
}

func (w *writer) network(l *landscape.Landscape, in landscape.AWSEnvironment, f fleet, a Assumptions) {
	zones := float64(l.AWS.Zones)
	gateways := 0.0
	switch in.NAT {
	case landscape.NATSingle:
		gateways = 1
	case landscape.NATZone:
		gateways = zones
	}
	w.flat("nat/hour", "NAT gateways", "", gateways*a.Hours)
	w.flat("ipv4/hour", "public addresses of NAT gateways", "", gateways*a.Hours)
	if gateways > 0 {
		w.line("nat/data", "data through NAT gateways", "", f.least*a.OutsideGB, f.most*a.OutsideGB)
	}
	w.flat("endpoint/hour", "interface endpoints", "", float64(endpoints(l))*zones*a.Hours)
	w.line("endpoint/data", "data through interface endpoints", "", f.least*a.EndpointGB, f.most*a.EndpointGB)
	w.line("transfer/zones", "data between zones", "", f.least*a.BetweenGB, f.most*a.BetweenGB)
	if in.VPN != nil {
		w.flat("vpn/hour", "VPN to the data centre", "", a.Hours)
	}
}

// Of each instance EC2 publishes seven metrics every minute.
const detailed = 7

// Alarms of what is rendered: see modules database, service, ingress, internal.
const (
	ofDatabase = 7         // metrics
	ofFace     = 4 + 2 + 2 // errors are reckoned from four metrics; slow and unhealthy of both places
	ofFull     = 4         // two metrics of both places
	ofTracking = 2         // a policy has an alarm to grow and one to shrink
	places     = 2
)

func (w *writer) watching(l *landscape.Landscape, f fleet, a Assumptions) {
	alarms, fast, metrics := 0, 0, 0
	for _, s := range l.Services {
		faces := 0
		if public(l, s.Name) {
			faces++
		}
		if needed(l, s.Name) {
			faces++
			alarms++ // of its load balancer
		}
		alarms += faces * ofFace
		if s.Scale.Max > s.Scale.Min {
			alarms += ofFull
		}
		if s.Scale.Requests > 0 {
			alarms += faces * places * ofTracking
		}
		fast += places * ofTracking
		metrics++ // the processor, every ten seconds
	}
	alarms += len(l.Databases) * ofDatabase
	if len(l.Ingresses) > 0 {
		alarms += 2 // refused by the load balancer, blocked by the shield
	}
	w.line("metric", "metrics", "", float64(metrics)+f.least*detailed, float64(metrics)+f.most*detailed)
	w.flat("alarm", "alarms", "", float64(alarms))
	w.flat("alarm/fast", "alarms every ten seconds", "", float64(fast))
	log := func(instances, outside float64) float64 {
		gb := instances*(a.LogGB+a.FlowGB) + float64(len(l.Databases))*a.LogGB
		if len(l.Ingresses) > 0 {
			gb += a.millions(outside) * a.Blocked // a KB of each that it logs
		}
		return gb
	}
	least, most := log(f.least, f.outsideLeast), log(f.most, f.outsideMost)
	w.line("logs/ingest", "logs taken in", "", least, most)
	w.line("logs/store", "logs kept", "", least*a.LogMonths, most*a.LogMonths)
	w.line("guardduty/data", "GuardDuty, flow logs", "", f.least*a.FlowGB, f.most*a.FlowGB)
}

func (w *writer) keeping(l *landscape.Landscape, f fleet, a Assumptions) {
	w.flat("kms/key", "KMS key", "", 1)
	w.flat("kms/requests", "KMS requests", "", a.KeyRequests/10_000)
	secrets := 2 * len(l.Databases) // the services', and the one that RDS keeps of its master
	for _, s := range l.Services {
		if private(s) {
			secrets++
		}
	}
	w.flat("secret", "secrets", "", float64(secrets))
	if secrets > 0 {
		w.line("secret/calls", "reads of secrets", "", f.least*a.SecretReads/10_000, f.most*a.SecretReads/10_000)
	}
	w.flat("s3/store", "buckets", "", a.ArchiveGB)
}

// account writes what there is once: keys, trail, guard, names, images.
func (w *writer) account(l *landscape.Landscape, a Assumptions) {
	environments := float64(len(l.Environments))
	events := a.TrailEvents * environments / 1e6
	w.flat("kms/key", "KMS keys", "", 2)
	w.flat("guardduty/events", "GuardDuty, management events", "", events)
	w.flat("logs/ingest", "audit log taken in", "", events*1.5) // KB of an event
	w.flat("alarm", "alarms", "", 4)                            // see module account
	w.flat("s3/store", "buckets", "", a.ArchiveGB)
	if l.AWS.Domain != "" {
		w.flat("route53/zone", "Route 53 zone", l.AWS.Domain, 1)
		w.flat("route53/queries", "Route 53 queries", l.AWS.Domain, 1)
	}
	w.flat("ebs/snapshot", "machine images", "", float64(len(l.Services))*a.Images*a.ImageGB)
}

func public(l *landscape.Landscape, service string) bool {
	for _, in := range l.Ingresses {
		if in.Service == service {
			return true
		}
	}
	return false
}

// needed: another service goes through its internal load balancer.
func needed(l *landscape.Landscape, service string) bool {
	for _, s := range l.Services {
		for _, n := range s.Needs {
			if n.Kind == "service" && n.Name == service {
				return true
			}
		}
	}
	return false
}

// private: a service has a secret of its own.
func private(s landscape.Service) bool {
	for _, v := range s.Env {
		for _, p := range v.Parts {
			if p.Ref != nil && p.Ref.Kind == "env" {
				return true
			}
		}
	}
	return false
}

// endpoints are autoscaling, logs, monitoring, and secretsmanager where a service reads a secret.
func endpoints(l *landscape.Landscape) int {
	for _, s := range l.Services {
		if private(s) {
			return 4
		}
		for _, n := range s.Needs {
			if n.Kind == "database" {
				return 4
			}
		}
	}
	return 3
}

// rules of the firewall: each rate is there once more for who comes through a gateway.
func rules(s landscape.Shield, gateways bool) int {
	rates := len(s.Limits)
	if s.Rate > 0 {
		rates++
	}
	if gateways {
		rates *= 2
	}
	return len(s.Rules) + rates
}
