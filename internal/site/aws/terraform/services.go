package terraform

import (
	"math"
	"regexp"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
)

func (r *root) writeServices(f *file) {
	if len(r.landscape.Services) == 0 {
		return
	}
	if len(r.needed) > 0 {
		b := f.top("Names of services inside, the same as at every site.", "resource", "aws_route53_zone", "services")
		b.set("name", text("svc.internal"))
		b.set("comment", text("Services of "+r.scope.Name()))
		b.gap()
		b.block("vpc").set("vpc_id", reference("module.network.vpc_id"))
	}
	for _, s := range r.landscape.Services {
		if r.needed[s.Name] {
			r.writeInternal(f, s)
		}
		r.writeService(f, s)
	}
}

func (r *root) writeInternal(f *file, s landscape.Service) {
	b := f.top("What those services go through that need "+s.Name+".", "module", identifier("internal", s.Name))
	b.source("internal")
	b.set("name", text(r.scope.LoadBalancer(convention.Internal, s.Name)))
	b.set("service", text(s.Name))
	b.set("host", text(landscape.ServiceHost(s.Name)))
	b.set("zone_id", reference("aws_route53_zone.services.zone_id"))
	b.gap()
	b.set("subnet_ids", reference("module.network.private_subnet_ids"))
	b.set("security_group_id", r.internalWall(s.Name).ref())
	b.set("port", number(s.Port))
	b.gap()
	b.set("topic_arn", reference("module.oncall.topic_arn"))
}

func (r *root) writeService(f *file, s landscape.Service) {
	b := f.top("", "module", identifier("service", s.Name))
	b.source("service")
	b.set("landscape", reference("local.landscape"))
	b.set("environment", reference("local.environment"))
	b.set("service", text(s.Name))
	b.set("region", reference("local.region"))
	b.gap()
	b.set("names", r.names(s.Name))
	b.gap()
	b.set("vpc_id", reference("module.network.vpc_id"))
	b.set("subnet_ids", reference("module.network.private_subnet_ids"))
	b.set("security_group_id", r.serviceWall(s.Name).ref())
	b.gap()
	instance := r.landscape.AWS.Service(r.environment.Name, s.Name).Instance
	b.set("instance_type", text(instance))
	b.set("architecture", text(architecture(instance)))
	b.set("port", number(s.Port))
	b.gap()
	b.set("health", health(s.Health))
	b.gap()
	b.set("scale", object(
		field{"min", number(s.Scale.Min)}, field{"max", number(s.Scale.Max)},
		field{"requests", number(s.Scale.Requests)}, field{"warmup", number(seconds(s.Scale.Warmup))}))
	writePeaks(b, s.Scale)
	b.gap()
	b.set("faces", r.faces(s))
	b.gap()
	r.writeRights(b, s)
}

// writeRights is what the service may read, and who watches over it.
func (r *root) writeRights(b *body, s landscape.Service) {
	var secrets []value
	for _, d := range databases(s) {
		secrets = append(secrets, reference("module.%s.secret_arn", identifier("database", d)))
	}
	if len(secrets) > 0 {
		b.set("database_secret_arns", list(secrets...))
	}
	if secret(s) {
		b.set("secret_name", text(r.scope.ServiceSecret(s.Name)))
	}
	b.set("permissions_boundary_arn", reference("module.access.boundary_arn"))
	b.gap()
	b.set("protected", reference("local.protected"))
	b.set("key_arn", reference("module.key.arn"))
	b.set("topic_arn", reference("module.oncall.topic_arn"))
}

// names are those that rollouts and images find things by.
func (r *root) names(service string) value {
	return object(
		field{"launch_template", text(r.scope.LaunchTemplate(service))},
		field{"role", text(r.scope.Role(service))},
		field{"log_group", text(r.scope.LogGroup(service))},
		field{"drain_hook", text(convention.DrainHook)},
		field{"launch_hook", text(convention.LaunchHook)},
		field{"groups", colours(func(c convention.Colour) string { return r.scope.Group(service, c) })})
}

func colours(name func(convention.Colour) string) value {
	var fields []field
	for _, c := range convention.Colours {
		fields = append(fields, field{string(c), text(name(c))})
	}
	return object(fields...)
}

// faces are the load balancers that a service stands behind.
func (r *root) faces(s landscape.Service) value {
	var fields []field
	add := func(f convention.Face, module string, hosts []string) {
		fields = append(fields, field{string(f), object(
			field{"listener_arn", reference("module.%s.listener_arn", module)},
			field{"load_balancer", reference("module.%s.arn_suffix", module)},
			field{"hosts", texts(hosts)},
			field{"target_groups", colours(func(c convention.Colour) string { return r.scope.TargetGroup(s.Name, f, c) })})})
	}
	if len(r.ingresses[s.Name]) > 0 {
		add(convention.Public, "ingress", r.hosts(r.ingresses[s.Name]))
	}
	if r.needed[s.Name] {
		add(convention.Internal, identifier("internal", s.Name), nil)
	}
	return object(fields...)
}

func (r *root) hosts(all []landscape.Ingress) []string {
	var hosts []string
	for _, in := range all {
		hosts = append(hosts, landscape.IngressHost(r.landscape, in, r.environment.Name))
	}
	return hosts
}

func writePeaks(b *body, s landscape.Scale) {
	all := moments(s)
	if len(all) == 0 {
		return
	}
	fields := make([]field, len(all))
	for i, m := range all {
		fields[i] = field{m.name(), object(field{"recurrence", text(m.cron())},
			field{"timezone", text(zone(s.Peaks[0]))}, field{"min", number(m.min)})}
	}
	b.gap()
	b.set("peaks", object(fields...))
}

// Bounds of a load balancer's health check, in seconds.
const (
	shortestInterval, longestInterval = 5, 300
	shortestTimeout, longestTimeout   = 2, 120
)

// health is the declared check as far as a load balancer can do it: it asks no
// more often than every five seconds, and waits less long than it pauses.
func health(h landscape.Health) value {
	interval, timeout := checked(h)
	return object(field{"path", text(h.Path)}, field{"interval", number(interval)}, field{"timeout", number(timeout)})
}

func checked(h landscape.Health) (interval, timeout int) {
	timeout = min(max(seconds(h.Timeout), shortestTimeout), longestTimeout)
	return min(max(seconds(h.Interval), shortestInterval, timeout+1), longestInterval), timeout
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// graviton are families whose processors are AWS's own: t4g, m7gd, c7gn, im4gn.
var graviton = regexp.MustCompile(`^(a1|[a-z]+[0-9]+[a-z]*g[a-z]*)\.`)

// architecture of an instance type, as the names of machine images spell it.
func architecture(instance string) string {
	if graviton.MatchString(instance) {
		return "arm64"
	}
	return "x86_64"
}
