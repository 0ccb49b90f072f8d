package aws

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// databases are the RDS instances of an environment, those included that are no
// longer declared.
func (s *Site) databases(ctx context.Context, scope convention.Scope) ([]site.Database, error) {
	var found []site.Database
	err := pages(func(token *string) (*string, error) {
		out, err := s.clients.RDS.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{Marker: token})
		if err != nil {
			return nil, explain("looking for databases", err)
		}
		for _, i := range out.DBInstances {
			if belongs(i, scope) {
				found = append(found, s.database(ctx, scope, i))
			}
		}
		return out.Marker, nil
	})
	slices.SortFunc(found, func(a, b site.Database) int { return strings.Compare(a.Name, b.Name) })
	return found, err
}

func belongs(i types.DBInstance, scope convention.Scope) bool {
	has := func(key, value string) bool {
		return slices.ContainsFunc(i.TagList, func(t types.Tag) bool { return aws.ToString(t.Key) == key && aws.ToString(t.Value) == value })
	}
	return has(convention.TagLandscape, scope.Landscape) && has(convention.TagEnvironment, scope.Environment)
}

// database is an RDS instance as the contract knows it. An address that cannot
// be found out is a reason, not an error: nothing else depends on it.
func (s *Site) database(ctx context.Context, scope convention.Scope, i types.DBInstance) site.Database {
	d := site.Database{Name: s.nameOf(scope, aws.ToString(i.DBInstanceIdentifier))}
	status := aws.ToString(i.DBInstanceStatus)
	if d.Ready = status == "available"; !d.Ready {
		d.Reason = "RDS: " + status
	}
	if i.Endpoint == nil || aws.ToString(i.Endpoint.Address) == "" {
		return d
	}
	host := aws.ToString(i.Endpoint.Address)
	address, err := s.options.Resolve(ctx, host)
	if err != nil {
		d.Reason = strings.TrimPrefix(d.Reason+fmt.Sprintf("; the address of %s is not known here: %v", host, err), "; ")
		return d
	}
	d.Address = netip.AddrPortFrom(address, uint16(aws.ToInt32(i.Endpoint.Port)))
	return d
}

// nameOf is the landscape's name of an RDS instance.
func (s *Site) nameOf(scope convention.Scope, identifier string) string {
	for _, d := range s.declared().Databases {
		if scope.Database(d.Name) == identifier {
			return d.Name
		}
	}
	return strings.TrimPrefix(identifier, scope.Name("")) // no longer declared
}

// Database implements site.Administrator: the master user, whose password RDS
// keeps in Secrets Manager and changes by itself, so it is fetched every time.
// Who dials needs a way into the environment's network.
func (s *Site) Database(ctx context.Context, environment, database string) (site.DatabaseAccess, error) {
	scope := s.scope(environment)
	out, err := s.clients.RDS.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: aws.String(scope.Database(database))})
	if err != nil {
		return site.DatabaseAccess{}, explain("looking for database "+database+" of "+environment, err)
	}
	if len(out.DBInstances) == 0 {
		return site.DatabaseAccess{}, fmt.Errorf("database %s of %s is not on AWS: run `godwit aws apply --env %s`: %w", database, environment, environment, site.ErrNotFound)
	}
	i := out.DBInstances[0]
	if i.Endpoint == nil || i.MasterUserSecret == nil {
		return site.DatabaseAccess{}, fmt.Errorf("database %s of %s is %s and has no endpoint or no managed password yet: try again when it is available",
			database, environment, aws.ToString(i.DBInstanceStatus))
	}
	master, err := s.secret(ctx, aws.ToString(i.MasterUserSecret.SecretArn))
	if err != nil {
		return site.DatabaseAccess{}, err
	}
	query := url.Values{"sslmode": {"require"}}
	if s.options.DatabaseCA != "" {
		query = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.options.DatabaseCA}}
	}
	address := net.JoinHostPort(aws.ToString(i.Endpoint.Address), strconv.Itoa(int(aws.ToInt32(i.Endpoint.Port))))
	u := url.URL{Scheme: "postgres", User: url.UserPassword(master["username"], master["password"]), Host: address,
		Path: "/" + cmp.Or(aws.ToString(i.DBName), database), RawQuery: query.Encode()}
	return site.DatabaseAccess{URL: u.String(), Owner: database, Dial: new(net.Dialer).DialContext}, nil
}
