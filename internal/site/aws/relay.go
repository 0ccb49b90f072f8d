package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"godwit/internal/landscape"
	"godwit/internal/site"
)

var _ site.Relayer = (*Site)(nil)

// OpenRelay implements site.Relayer. The way is the environment's VPN, which
// Terraform makes: nothing is opened, only looked at, whether both databases can
// find each other by it. ErrInvalid when they cannot, ErrNotFound when the
// environment's database is not there. Whether the tunnel is up is not asked.
func (s *Site) OpenRelay(ctx context.Context, environment, database, sourceAddress string) (site.Relay, error) {
	vpn, err := s.vpn(environment)
	if err != nil {
		return site.Relay{}, err
	}
	source, err := s.behind(ctx, vpn, sourceAddress)
	if err != nil {
		return site.Relay{}, fmt.Errorf("the source of database %s: %w", database, err)
	}
	target, err := s.endpoint(ctx, environment, database)
	if err != nil {
		return site.Relay{}, err
	}
	return site.Relay{Source: source, Target: target}, nil
}

// CloseRelay implements site.Relayer. OpenRelay opened nothing, so there is nothing
// to close: the VPN ends when it is no longer declared and Terraform is applied,
// which is a person's decision, for it may be needed to go back.
func (s *Site) CloseRelay(context.Context, string, string) error { return nil }

// vpn is the way from an environment to the data centre.
func (s *Site) vpn(environment string) (*landscape.VPN, error) {
	l := s.declared()
	if _, ok := l.Environment(environment); !ok {
		return nil, fmt.Errorf("landscape %s declares no environment %s: %w", l.Name, environment, site.ErrNotFound)
	}
	if l.AWS != nil {
		if vpn := l.AWS.In(environment).VPN; vpn != nil {
			return vpn, nil
		}
	}
	return nil, fmt.Errorf("environment %s has no VPN, so its databases reach no data centre: declare `aws { environment %q { vpn { gateway = …, network = … } } }`, then run `godwit aws apply --env %s`: %w",
		environment, environment, environment, site.ErrInvalid)
}

// behind is the source's database as RDS dials it: by its address, for the names of
// a data centre are not known in the environment's network. It is refused where
// the VPN does not lead.
func (s *Site) behind(ctx context.Context, vpn *landscape.VPN, source string) (string, error) {
	host, port, err := net.SplitHostPort(source)
	if err != nil || host == "" {
		return "", fmt.Errorf("%q is not host:port: %w", source, site.ErrInvalid)
	}
	if port != strconv.Itoa(landscape.DatabasePort) {
		return "", fmt.Errorf("%s listens on port %s, and the way through the VPN is open on port %d only: have it reached there: %w",
			source, port, landscape.DatabasePort, site.ErrInvalid)
	}
	address, err := s.addressOf(ctx, host)
	if err != nil {
		return "", err
	}
	if address.IsLoopback() || address.IsUnspecified() || address.IsLinkLocalUnicast() {
		return "", fmt.Errorf("%s is %s, by which only its own machine or link finds it: give its url an address in network %s of the vpn, which is what RDS reaches: %w",
			host, address, vpn.Network, site.ErrInvalid)
	}
	if !vpn.Network.Contains(address) {
		return "", fmt.Errorf("%s is %s, and RDS reaches only addresses in network %s of the vpn: give its url one of these, or declare the network that it is in and run `godwit aws apply`: %w",
			host, address, vpn.Network, site.ErrInvalid)
	}
	return net.JoinHostPort(address.String(), port), nil
}

// addressOf is what a host's name stands for. That there is no such name will not
// pass by itself; that nobody answered may.
func (s *Site) addressOf(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	a, err := s.options.Resolve(ctx, host)
	if err == nil {
		return a.Unmap(), nil
	}
	var dns *net.DNSError
	if ctx.Err() != nil || errors.As(err, &dns) && !dns.IsNotFound {
		return netip.Addr{}, fmt.Errorf("looking for the address of %s: %w", host, err)
	}
	return netip.Addr{}, fmt.Errorf("the address of %s is not known here: %w: give its url a name that is, or the address: %w", host, err, site.ErrInvalid)
}

// endpoint is where a database of an environment is found: by its name, for its
// address changes when the standby takes over.
func (s *Site) endpoint(ctx context.Context, environment, database string) (string, error) {
	id := s.scope(environment).Database(database)
	out, err := s.clients.RDS.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &id})
	var missing *types.DBInstanceNotFoundFault
	if errors.As(err, &missing) || err == nil && len(out.DBInstances) == 0 {
		return "", absent(s.scope(environment), "database %s of %s is not on AWS", database, environment)
	}
	if err != nil {
		return "", explain("looking for database "+database+" of "+environment, err)
	}
	i := out.DBInstances[0]
	if status := aws.ToString(i.DBInstanceStatus); !answers(status) || i.Endpoint == nil || aws.ToString(i.Endpoint.Address) == "" {
		return "", fmt.Errorf("database %s of %s cannot be reached, RDS says that it is %s: wait until it is available, or mend it in the console, as %s: %w",
			database, environment, status, id, site.ErrInvalid)
	}
	return net.JoinHostPort(aws.ToString(i.Endpoint.Address), strconv.Itoa(int(aws.ToInt32(i.Endpoint.Port)))), nil
}

// answers says whether a database does in a status of RDS: a backup and most
// modifications go on beside its work, and a migration must not stop for them.
func answers(status string) bool {
	return strings.HasPrefix(status, "configuring-") || slices.Contains([]string{"available", "backing-up", "modifying",
		"resetting-master-credentials", "storage-config-upgrade", "storage-initialization", "storage-optimization"}, status)
}
