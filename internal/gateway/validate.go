package gateway

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits of what the control side accepts.
const (
	maxName      = 200
	maxHosts     = 1000
	maxEndpoints = 10_000
)

func (t Table) validate() error {
	for name, pool := range t.Pools {
		if err := validatePool(name, pool); err != nil {
			return err
		}
	}
	for host, route := range t.Routes {
		if err := validateHost(host); err != nil {
			return err
		}
		if _, ok := t.Pools[route.Pool]; !ok {
			return errorf(ErrInvalid, "route %s points at pool %q, which does not exist; set the pool first", host, route.Pool)
		}
	}
	return nil
}

func validatePool(name string, p Pool) error {
	if err := validateName(name); err != nil {
		return err
	}
	if len(p.Endpoints) > maxEndpoints {
		return errorf(ErrInvalid, "pool %s has %d endpoints; at most %d are allowed", name, len(p.Endpoints), maxEndpoints)
	}
	seen := make(map[string]bool, len(p.Endpoints))
	for _, e := range p.Endpoints {
		if e.ID == "" || seen[e.ID] {
			return errorf(ErrInvalid, "pool %s: endpoint id %q is empty or doubled; give each endpoint an id of its own", name, e.ID)
		}
		seen[e.ID] = true
		if err := validateEndpoint(e); err != nil {
			return errorf(ErrInvalid, "pool %s: endpoint %s: %v", name, e.ID, err)
		}
	}
	for number, weight := range p.Weights {
		if number < 0 || weight < 0 || weight > 1_000_000 {
			return errorf(ErrInvalid, "pool %s: weight %d of release %d; a weight is between 0 and 1000000, a release not negative", name, weight, number)
		}
	}
	return nil
}

func validateEndpoint(e Endpoint) error {
	host, port, err := net.SplitHostPort(e.Address)
	if err != nil || host == "" {
		return errorf(ErrInvalid, "address %q is not host:port", e.Address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return errorf(ErrInvalid, "port %q is not between 1 and 65535", port)
	}
	if e.Release < 0 {
		return errorf(ErrInvalid, "release %d is negative", e.Release)
	}
	if e.Via != "" && !filepath.IsAbs(e.Via) {
		return errorf(ErrInvalid, "door %q is not an absolute path", e.Via)
	}
	return validateTLS(e)
}

func validateTLS(e Endpoint) error {
	if e.TLS == "" {
		return nil
	}
	if e.Via != "" {
		return errorf(ErrInvalid, "it has tls %q and the door %q; behind a door only plain HTTP is spoken, leave one of them out", e.TLS, e.Via)
	}
	if !isHostName(e.TLS) {
		return errorf(ErrInvalid, "tls %q is not a host name; give the name its certificate is for, in lower case, without port, '*' or trailing dot, and no IP address", e.TLS)
	}
	return nil
}

// isHostName: labels of lower case letters, digits and inner hyphens, with dots
// between; the last one is not a number, which would make it an address.
func isHostName(name string) bool {
	if len(name) > 253 {
		return false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.IndexFunc(label, odd) >= 0 {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// validateName allows letters, digits and . _ - in segments separated by a
// slash. The last segment may not be "idle" or "drained": those are questions
// about a pool or a hold.
func validateName(name string) error {
	if name == "" || len(name) > maxName {
		return errorf(ErrInvalid, "name of %d bytes; use 1 to %d", len(name), maxName)
	}
	segments := strings.Split(name, "/")
	for _, segment := range segments {
		if segment == "" || segment == "." || segment == ".." || strings.IndexFunc(segment, unnameable) >= 0 {
			return errorf(ErrInvalid, "name %q; use letters, digits, '.', '_' and '-', in segments separated by '/'", name)
		}
	}
	if last := segments[len(segments)-1]; last == "idle" || last == "drained" {
		return errorf(ErrInvalid, "name %q ends in %q, which is reserved", name, last)
	}
	return nil
}

func unnameable(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

func validateHost(host string) error {
	if host == "" || len(host) > 255 || host != canonicalHost(host) || strings.ContainsAny(host, " \t\r\n/\\") {
		return errorf(ErrInvalid, "host %q; give it in lower case, without port and without trailing dot", host)
	}
	return nil
}

// canonicalHost is how a Host header is looked up: lower case, no port, no
// trailing dot. What follows a colon and is no number is no port: instances are
// given the header as it came and must not build links to somewhere else of it.
func canonicalHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.Trim(host[i+1:], "0123456789") == "" {
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	return strings.ToLower(host)
}
