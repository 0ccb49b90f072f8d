package landscape

import (
	"net/netip"
	"regexp"
	"strings"
)

// The kinds of things that are declared or referred to.
const (
	kindEnvironment = "environment"
	kindService     = "service"
	kindDatabase    = "database"
	kindIngress     = "ingress"
	kindSource      = "source"
	kindMigration   = "migration"
	kindProbe       = "probe"
	kindPipeline    = "pipeline"
	kindEnv         = "env"
)

const maxName = 40 // leaves room for suffixes within the 63 characters of a DNS label

var (
	dnsLabel   = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	hostLabel  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	innerName  = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	envName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	methodName = regexp.MustCompile(`^[A-Z]+$`)
)

func goodName(s string) bool      { return len(s) <= maxName && dnsLabel.MatchString(s) }
func goodInnerName(s string) bool { return len(s) <= maxName && innerName.MatchString(s) }

// goodHost accepts lower-case host names without port; addresses are no names.
func goodHost(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) > 63 || !hostLabel.MatchString(label) {
			return false
		}
	}
	return true
}

// ServiceHost is the name of a service inside its environment.
func ServiceHost(service string) string { return service + ".svc.internal" }

// DatabaseHost is the name of a database inside its environment.
func DatabaseHost(database string) string { return database + ".db.internal" }
