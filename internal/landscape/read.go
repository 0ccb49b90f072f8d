package landscape

import (
	"fmt"
	"net/netip"
	"time"
)

// What is remembered of a declaration until everything is known.
type (
	declaredEnvironment struct {
		Environment
		at        place
		networkAt place
	}
	declaredHost struct {
		host, ingress string
		at            place
	}
	declaredSource struct {
		Source
		at place
	}
	declaredMigration struct {
		Migration
		at place
	}
)

const standardPause = 2 * time.Second

// standardKeepWAL is how much log a side keeps for the other, unless something else
// is declared.
const standardKeepWAL = 8 << 30

// declare notes a name, and reports bad and doubled ones. Doubled ones are
// still read, for their other findings.
func (r *reader) declare(b *body) {
	if !goodName(b.name) {
		r.add(b.at, Error, fmt.Sprintf("%s is not a good name for %s", quoted(b.name), orList([]string{b.kind})),
			fmt.Sprintf("use at most %d lower-case letters, digits and inner hyphens, a letter first", maxName))
	}
	if r.declared[b.kind] == nil {
		r.declared[b.kind] = map[string]place{}
	}
	if first, doubled := r.declared[b.kind][b.name]; doubled {
		r.add(b.at, Error, b.title+" is declared twice", fmt.Sprintf("rename or remove one; the first is at %s:%d", first.src.name, first.line))
		return
	}
	r.declared[b.kind][b.name] = b.at
}

func (r *reader) header(b *body) {
	if r.landscape.Name != "" {
		r.add(b.at, Error, "a second landscape is declared", "keep one block landscape in all files together")
		return
	}
	r.declare(b)
	r.landscape.Name = b.name
}

func (r *reader) environment(b *body) {
	r.declare(b)
	e := declaredEnvironment{Environment: Environment{Name: b.name, Protected: b.boolean("protected")}, at: b.at}
	e.Network, e.networkAt = b.network()
	r.landscape.Environments = append(r.landscape.Environments, e.Environment)
	r.environs = append(r.environs, e)
}

// network reads the attribute network; the zero prefix stands for a bad one.
func (b *body) network() (netip.Prefix, place) {
	s, at := b.text("network", "")
	if s == "" {
		return netip.Prefix{}, at
	}
	const mend = `write a private IPv4 network of its own, for instance network = "10.30.0.0/16"`
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		b.add(at, Error, fmt.Sprintf("network %s of %s is no network in CIDR notation", quoted(s), b.title), mend)
	case !p.Addr().Is4():
		b.add(at, Error, fmt.Sprintf("network %s of %s is not IPv4", quoted(s), b.title), mend)
	case !private(p):
		b.add(at, Error, fmt.Sprintf("network %s of %s is not private", quoted(s), b.title),
			"take one within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16")
	case p != p.Masked():
		b.add(at, Error, fmt.Sprintf("network %s of %s has bits set after its prefix", quoted(s), b.title), fmt.Sprintf("write %q", p.Masked()))
	case p.Bits() > smallestNetwork:
		b.add(at, Error, fmt.Sprintf("network %s of %s is too small", quoted(s), b.title),
			fmt.Sprintf("take a /%d or a larger one: write for instance %q", smallestNetwork, netip.PrefixFrom(p.Addr(), 16).Masked()))
	default:
		return p, at
	}
	return netip.Prefix{}, at
}

func private(p netip.Prefix) bool {
	for _, whole := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} {
		w := netip.MustParsePrefix(whole)
		if w.Contains(p.Addr()) && p.Bits() >= w.Bits() {
			return true
		}
	}
	return false
}

func (r *reader) database(b *body) {
	r.declare(b)
	engine, at := b.text("engine", "postgres")
	if engine != "postgres" {
		r.add(at, Error, fmt.Sprintf("%s has an engine %s that godwit does not run", b.title, quoted(engine)), `write engine = "postgres"`)
	}
	r.landscape.Databases = append(r.landscape.Databases, Database{Name: b.name, Engine: engine})
}

func (r *reader) ingress(b *body) {
	r.declare(b)
	host, at := b.text("host", "")
	if host != "" && !goodHost(host) {
		r.add(at, Error, fmt.Sprintf("host %s of %s is not a good host name", quoted(host), b.title),
			"write a lower-case DNS name without scheme, port and path, for instance \"till.bistro.example\"")
	} else if host != "" {
		r.hosts = append(r.hosts, declaredHost{host, b.name, at})
	}
	in := Ingress{Name: b.name, Host: host, Service: b.ref("service", kindService)}
	r.landscape.Ingresses = append(r.landscape.Ingresses, in)
}

func (r *reader) source(b *body) {
	r.declare(b)
	s := Source{Name: b.name}
	seen := map[Ref]bool{}
	for _, c := range b.children() {
		ref := Ref{Kind: c.kind, Name: c.name}
		if seen[ref] {
			r.add(c.at, Error, fmt.Sprintf("%s is in %s twice", c.title, b.title), "keep one of the two")
			continue
		}
		seen[ref] = true
		r.endpoints = append(r.endpoints, use{ref, c.at})
		endpoint := SourceEndpoint{Name: c.name, URL: c.sourceURL()}
		if c.kind == kindService {
			s.Services = append(s.Services, endpoint)
		} else {
			s.Databases = append(s.Databases, endpoint)
		}
	}
	r.landscape.Sources = append(r.landscape.Sources, s)
	r.sources = append(r.sources, declaredSource{s, b.at})
}

// consents reads what godwit may do only where it is declared: yes, else no.
func (b *body) consents(name, yes, no string) bool {
	text, at := b.text(name, no)
	if text != yes && text != no {
		b.must(at, name, fmt.Sprintf("%q or %q", yes, no))
	}
	return text == yes
}

func (r *reader) migration(b *body) {
	r.declare(b)
	m := Migration{
		Name:          b.name,
		Source:        b.ref("from", kindSource),
		Environment:   b.ref("to", kindEnvironment),
		MaxPause:      b.duration("max_pause", standardPause, 10*time.Minute),
		AutoKeys:      b.consents("keys", "auto", "declared"),
		EmptyUnlogged: b.consents("unlogged", "empty", "refused"),
		KeepWAL:       b.size("keep_wal", standardKeepWAL),
	}
	r.landscape.Migrations = append(r.landscape.Migrations, m)
	r.moves = append(r.moves, declaredMigration{m, b.at})
}
