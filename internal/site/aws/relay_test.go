package aws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"strings"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
)

// moved is the bistro whose environment test has a way to the data centre.
func moved() *landscape.Landscape {
	l := bistro()
	l.AWS.Environments = []landscape.AWSEnvironment{{Name: "test",
		VPN: &landscape.VPN{Gateway: netip.MustParseAddr("203.0.113.10"), Network: netip.MustParsePrefix("192.168.10.0/24")}}}
	return l
}

// names of the data centre.
func names(ctx context.Context, host string) (netip.Addr, error) {
	switch host {
	case "db.datacenter.example":
		return netip.MustParseAddr("192.168.10.5"), nil
	case "mapped.datacenter.example":
		return netip.MustParseAddr("::ffff:192.168.10.6"), nil
	case "elsewhere.datacenter.example":
		return netip.MustParseAddr("192.168.20.5"), nil
	case "localhost":
		return netip.MustParseAddr("127.0.0.1"), nil
	case "gone.datacenter.example":
		return netip.Addr{}, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case "slow.datacenter.example":
		return netip.Addr{}, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	}
	return resolve(ctx, host)
}

// migrated is the environment test, made and with a way to the data centre.
func migrated(t *testing.T) (*awsfake.Cloud, *aws.Site) {
	t.Helper()
	c, _ := fronted(t, awsfake.Options{}, moved())
	if err := c.SetMaster("bistro-test-till", "godwit", "p/a@s:s"); err != nil {
		t.Fatal(err)
	}
	return c, aws.New(fakeClients(c), aws.Options{Landscape: moved(), Region: awstest.Region, Resolve: names})
}

// TestOpenRelay: each side learns how the other finds it; nothing on AWS changes,
// and nothing is there to be closed.
func TestOpenRelay(t *testing.T) {
	t.Parallel()
	c, s := migrated(t)
	before := len(c.Calls())
	const own = "bistro-test-till.fake.eu-central-1.rds.amazonaws.com:5432"
	check := func(source, wantSource, wantTarget string) {
		t.Helper()
		for range 2 {
			relay, err := s.OpenRelay(t.Context(), "test", "till", source)
			if want := (site.Relay{Source: wantSource, Target: wantTarget}); err != nil || relay != want {
				t.Errorf("%s: got %+v (%v), want %+v", source, relay, err, want)
			}
			if err := s.CloseRelay(t.Context(), "test", "till"); err != nil {
				t.Error(err)
			}
		}
	}
	check("192.168.10.5:5432", "192.168.10.5:5432", own)
	check("db.datacenter.example:5432", "192.168.10.5:5432", own)
	check("mapped.datacenter.example:5432", "192.168.10.6:5432", own)
	for _, status := range []string{"backing-up", "storage-optimization", "configuring-log-exports"} {
		c.SetDatabase("bistro-test-till", status)
		check("192.168.10.5:5432", "192.168.10.5:5432", own)
	}
	if err := c.SetEndpoint("bistro-test-till", "10.10.0.9", 15432); err != nil {
		t.Fatal(err)
	}
	check("192.168.10.5:5432", "192.168.10.5:5432", "10.10.0.9:15432")
	for _, call := range c.Calls()[before:] {
		if !strings.HasPrefix(call.Operation, "Describe") {
			t.Errorf("a relay on AWS is looked at, and there was a call %s", call.Operation)
		}
	}
}

// TestRelayRefused: where the VPN does not lead nothing is promised.
func TestRelayRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environment, database, source string
		status                        string
		is                            error
		says                          []string
	}{
		"no VPN":                  {"stage", "till", "192.168.10.5:5432", "", site.ErrInvalid, []string{"environment stage has no VPN", "vpn { gateway", "`godwit aws apply --env stage`"}},
		"no environment":          {"undeclared", "till", "192.168.10.5:5432", "", site.ErrNotFound, []string{"declares no environment undeclared"}},
		"no database":             {"test", "menu", "192.168.10.5:5432", "", site.ErrNotFound, []string{"database menu of test", "`godwit aws apply --env test`"}},
		"loopback":                {"test", "till", "127.0.0.1:5432", "", site.ErrInvalid, []string{"127.0.0.1", "an address in network 192.168.10.0/24 of the vpn"}},
		"loopback by name":        {"test", "till", "localhost:5432", "", site.ErrInvalid, []string{"localhost is 127.0.0.1", "an address in network 192.168.10.0/24"}},
		"loopback by IPv6":        {"test", "till", "[::1]:5432", "", site.ErrInvalid, []string{"only its own machine"}},
		"every address":           {"test", "till", "0.0.0.0:5432", "", site.ErrInvalid, []string{"only its own machine"}},
		"link-local":              {"test", "till", "169.254.1.1:5432", "", site.ErrInvalid, []string{"only its own machine or link"}},
		"outside the network":     {"test", "till", "192.168.20.5:5432", "", site.ErrInvalid, []string{"RDS reaches only addresses in network 192.168.10.0/24"}},
		"outside, by name":        {"test", "till", "elsewhere.datacenter.example:5432", "", site.ErrInvalid, []string{"elsewhere.datacenter.example is 192.168.20.5"}},
		"a name that is none":     {"test", "till", "gone.datacenter.example:5432", "", site.ErrInvalid, []string{"address of gone.datacenter.example is not known here"}},
		"a resolver that is slow": {"test", "till", "slow.datacenter.example:5432", "", nil, []string{"i/o timeout"}},
		"another port":            {"test", "till", "192.168.10.5:5433", "", site.ErrInvalid, []string{"port 5433", "open on port 5432 only"}},
		"no port":                 {"test", "till", "192.168.10.5", "", site.ErrInvalid, []string{"is not host:port"}},
		"no host":                 {"test", "till", ":5432", "", site.ErrInvalid, []string{"is not host:port"}},
		"a database that stopped": {"test", "till", "192.168.10.5:5432", "stopped", site.ErrInvalid, []string{"RDS says that it is stopped", "bistro-test-till"}},
		"a database that is full": {"test", "till", "192.168.10.5:5432", "storage-full", site.ErrInvalid, []string{"RDS says that it is storage-full"}},
		"a database that is made": {"test", "till", "192.168.10.5:5432", "creating", site.ErrInvalid, []string{"RDS says that it is creating: wait"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, s := migrated(t)
			if c.status != "" {
				cloud.SetDatabase("bistro-test-till", c.status)
			}
			relay, err := s.OpenRelay(t.Context(), c.environment, c.database, c.source)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || c.is == nil && errors.Is(err, site.ErrInvalid) {
				t.Fatalf("%+v: %v", relay, err)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%v\ndoes not say %s", err, says)
				}
			}
		})
	}
}

// TestRelayDatabase: what the engine dials is what stands for the database, as the
// master with the password of the moment, and encrypted.
func TestRelayDatabase(t *testing.T) {
	t.Parallel()
	c, s := migrated(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	if err := c.SetEndpoint("bistro-test-till", "127.0.0.1", int32(port)); err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"p/a@s:s", "rotated"} {
		if err := c.SetMaster("bistro-test-till", "root", password); err != nil {
			t.Fatal(err)
		}
		access, err := s.Database(t.Context(), "test", "till")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(access.URL)
		if err != nil {
			t.Fatal("the URL cannot be read")
		}
		if got, _ := u.User.Password(); got != password || u.User.Username() != "root" || u.Host != fmt.Sprint("127.0.0.1:", port) || u.Path != "/till" ||
			u.Query().Get("sslmode") != "require" || access.Owner != "till" {
			t.Errorf("%s of %s", u.Redacted(), access.Owner)
		}
		conn, err := access.Dial(t.Context(), "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
}

// TestOperatorMayMigrate: every call that a migration makes of AWS is in the
// operator's policy, and in none of its limits that have no condition.
func TestOperatorMayMigrate(t *testing.T) {
	t.Parallel()
	c, s := migrated(t)
	before := len(c.Calls())
	if err := migrates(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	may, limits := statements(t, "aws-operator-policy.json"), statements(t, "aws-operator-limits.json")
	prefixes := map[string]string{"Elastic Load Balancing v2": "elasticloadbalancing", "Auto Scaling": "autoscaling", "RDS": "rds", "Secrets Manager": "secretsmanager", "EC2": "ec2"}
	calls := c.Calls()[before:]
	if len(calls) < 8 {
		t.Errorf("only %d calls were made", len(calls))
	}
	for _, call := range calls {
		action := prefixes[call.Service] + ":" + call.Operation
		if !named(may, "Allow", action) || named(limits, "Deny", action) {
			t.Errorf("an operator may not %s, which a migration does", action)
		}
	}
}

type statement struct {
	Effect    string
	Action    any // one or a list
	Condition map[string]any
}

func statements(t *testing.T, name string) []statement {
	t.Helper()
	b, err := os.ReadFile("../../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var document struct{ Statement []statement }
	if err := json.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	return document.Statement
}

// named says whether a statement has an action; one that refuses under a condition
// does not count.
func named(all []statement, effect, action string) bool {
	for _, s := range all {
		patterns, many := s.Action.([]any)
		if !many {
			patterns = []any{s.Action}
		}
		for _, p := range patterns {
			ok, err := path.Match(p.(string), action)
			if err == nil && ok && s.Effect == effect && (effect == "Allow" || len(s.Condition) == 0) {
				return true
			}
		}
	}
	return false
}
