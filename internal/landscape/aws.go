package landscape

import (
	"net/netip"
	"slices"
)

// AWS says how the landscape is to be on AWS; nothing in it matters elsewhere.
type AWS struct {
	Region       string
	Domain       string   // the Route 53 zone, there already, that holds the hosts of all ingresses
	Zones        int      // availability zones per environment, 2 or 3
	OnCall       []string // e-mail addresses that get alarms
	Sizing                // of every environment
	Environments []AWSEnvironment
	Services     []AWSService
}

// Sizing is what costs money.
type Sizing struct {
	Instance string // EC2 instance type, "t3.small"
	Database string // RDS instance class, "db.t4g.medium"
	Storage  int    // GiB of each database
	NAT      NAT
}

// NAT says whether and how instances reach addresses outside.
type NAT string

const (
	NATNone   NAT = "none"   // they do not; AWS itself is reached through VPC endpoints
	NATSingle NAT = "single" // through one zone
	NATZone   NAT = "zone"   // each zone through its own
)

// AWSEnvironment is what is different in one environment.
type AWSEnvironment struct {
	Name   string
	Sizing      // what is zero is as everywhere
	VPN    *VPN // the way to the source, while a migration needs it

	// Gateways are public addresses of gateways that send clients' requests here,
	// as the data centre's does after a cutover: who a client is, they say.
	Gateways []netip.Prefix
	// NoDNS: the names of its ingresses are not in Terraform's hands; they lead to
	// the data centre's gateway until a migration is finished.
	NoDNS bool
}

// VPN connects an environment's network with the data centre it moves out of:
// only databases are reached through it, and reach out.
type VPN struct {
	Gateway netip.Addr   // public address of the data centre's end
	Network netip.Prefix // where the source's databases are
}

// AWSService is what is different for one service.
type AWSService struct {
	Name     string
	Instance string         // "" as everywhere
	Egress   []netip.Prefix // networks outside that it may reach on port 443; needs a NAT
}

// Sizing is that of one environment.
func (a *AWS) In(environment string) AWSEnvironment {
	in := AWSEnvironment{Name: environment, Sizing: a.Sizing}
	i := slices.IndexFunc(a.Environments, func(e AWSEnvironment) bool { return e.Name == environment })
	if i < 0 {
		return in
	}
	own := a.Environments[i]
	in.VPN, in.Gateways, in.NoDNS = own.VPN, own.Gateways, own.NoDNS
	in.Instance = either(own.Instance, in.Instance)
	in.Database = either(own.Database, in.Database)
	in.Storage = either(own.Storage, in.Storage)
	in.NAT = either(own.NAT, in.NAT)
	return in
}

// Service is what is different for a service, its instance type filled in.
func (a *AWS) Service(environment, service string) AWSService {
	s := AWSService{Name: service}
	if i := slices.IndexFunc(a.Services, func(s AWSService) bool { return s.Name == service }); i >= 0 {
		s = a.Services[i]
	}
	s.Instance = either(s.Instance, a.In(environment).Instance)
	return s
}

func either[T comparable](own, standard T) T {
	var none T
	if own == none {
		return standard
	}
	return own
}
