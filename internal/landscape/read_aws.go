package landscape

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// What AWS gets when it is not said.
const (
	standardZones    = 2
	standardInstance = "t3.small"
	standardClass    = "db.t4g.medium"
	standardStorage  = 50
	mostStorage      = 16384
	largestVPC       = 16 // AWS makes no larger network
)

var (
	regionName   = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[1-9]$`)
	instanceType = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
	classType    = regexp.MustCompile(`^db\.[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
	mailAddress  = regexp.MustCompile(`^[A-Za-z0-9._+-]+@[a-z0-9.-]+\.[a-z]{2,}$`)
	nats         = []string{string(NATNone), string(NATSingle), string(NATZone)}
)

// aws reads the block aws.
func (r *reader) aws(b *body) {
	if r.landscape.AWS != nil {
		r.add(b.at, Error, "a second block aws", "keep one in all files together")
		return
	}
	a := &AWS{Sizing: b.sizing(Sizing{Instance: standardInstance, Database: standardClass, Storage: standardStorage, NAT: NATNone})}
	a.Region, _ = b.match("region", "", regionName, "the code of a region")
	a.Domain = b.domain()
	a.Zones, _ = b.number("zones", standardZones, 2, 3)
	a.OnCall = b.mails()
	seen := map[Ref]bool{}
	for _, c := range b.children() {
		ref := Ref{Kind: c.kind, Name: c.name}
		if seen[ref] {
			r.add(c.at, Error, fmt.Sprintf("%s is in aws twice", c.title), "keep one of the two")
			continue
		}
		seen[ref] = true
		r.uses = append(r.uses, use{ref, c.at})
		if c.kind == kindEnvironment {
			a.Environments = append(a.Environments, c.awsEnvironment())
		} else {
			a.Services = append(a.Services, c.awsService())
		}
	}
	r.landscape.AWS, r.awsAt = a, b
}

// sizing reads what costs money; what is not said is standard.
func (b *body) sizing(standard Sizing) Sizing {
	s := Sizing{}
	s.Instance, _ = b.match("instance", standard.Instance, instanceType, "an EC2 instance type")
	s.Database, _ = b.match("database", standard.Database, classType, "an RDS instance class")
	s.Storage, _ = b.number("storage", standard.Storage, 20, mostStorage)
	nat, at := b.text("nat", string(standard.NAT))
	if nat != "" && !slices.Contains(nats, nat) {
		b.must(at, "nat", "one of "+quotedList(nats))
	}
	s.NAT = NAT(nat)
	return s
}

func (b *body) awsEnvironment() AWSEnvironment {
	e := AWSEnvironment{Name: b.name, Sizing: b.sizing(Sizing{}), Gateways: b.gateways(), NoDNS: b.noDNS()}
	for _, c := range b.children() {
		e.VPN = c.vpn()
		_, b.outside[Ref{b.kind, b.name}], _ = c.expr("network")
	}
	return e
}

func (b *body) awsService() AWSService {
	s := AWSService{Name: b.name}
	s.Instance, _ = b.match("instance", "", instanceType, "an EC2 instance type")
	_, at, _ := b.expr("egress")
	b.outside[Ref{b.kind, b.name}] = at
	for _, text := range b.texts("egress") {
		if p, ok := b.network4(at, "egress", text, "a list of IPv4 networks in CIDR notation, none wider than a /8"); ok {
			s.Egress = append(s.Egress, p)
		}
	}
	return s
}

// match reads a string of a form.
func (b *body) match(name, standard string, form *regexp.Regexp, what string) (string, place) {
	s, at := b.text(name, standard)
	if s != "" && !form.MatchString(s) {
		b.must(at, name, what)
	}
	return s, at
}

func (b *body) domain() string {
	s, at := b.text("domain", "")
	if s != "" && !goodHost(s) {
		b.must(at, "domain", "the lower-case name of a DNS zone")
	}
	return s
}

func (b *body) mails() []string {
	_, at, _ := b.expr("oncall")
	var all []string
	for _, s := range b.texts("oncall") {
		if !mailAddress.MatchString(s) {
			b.must(at, "oncall", "a list of e-mail addresses")
			continue
		}
		all = append(all, s)
	}
	return all
}

// checkAWS reports what AWS could not make.
func (r *reader) checkAWS() {
	a := r.landscape.AWS
	if a == nil || r.partial {
		return
	}
	for _, h := range r.hosts {
		if a.Domain != "" && h.host != a.Domain && !strings.HasSuffix(h.host, "."+a.Domain) {
			r.add(h.at, Error, fmt.Sprintf("host %s does not lie in domain %s of block aws", quoted(h.host), quoted(a.Domain)),
				"take a host below it, or the domain that holds the hosts of all ingresses")
		}
	}
	if len(r.hosts) > 0 && a.Domain == "" {
		r.add(r.awsAt.at, Error, "aws has no domain, and there are ingresses", `add domain = "bistro.example": the Route 53 zone that holds their hosts`)
	}
	for _, e := range r.environs {
		if e.Network.IsValid() && e.Network.Bits() < largestVPC {
			r.add(e.networkAt, Error, fmt.Sprintf("network %s of environment %s is larger than AWS makes one", e.Network, quoted(e.Name)),
				fmt.Sprintf("write %q", netip.PrefixFrom(e.Network.Addr(), largestVPC)))
		}
	}
	r.checkEgress(a)
	r.checkOutside(a)
	r.checkFronted(a)
}

func quotedList(all []string) string { return `"` + strings.Join(all, `", "`) + `"` }
