package postgres

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"godwit/internal/landscape"
)

// ErrURL: a URL of a database asks for what cannot hold on every connection.
var ErrURL = errors.New("its url")

// A server is reached on three ways: by the engine itself, by pg_dump, and by the
// Postgres of the other side, which subscribes. What its URL says of encryption and
// of who may answer holds on all of them, or the URL is refused: a password that one
// of them gives to a stranger is given.

// option is what libpq understands of a URL too.
type option struct {
	since int // first version of libpq that knows it; 0: all that godwit moves between
	// refused says why some value cannot hold; "" when it can.
	refused func(value string) string
}

var options = map[string]option{
	"sslmode":              {},
	"sslrootcert":          {},
	"sslsni":               {},
	"channel_binding":      {},
	"require_auth":         {since: 16},
	"sslcertmode":          {since: 16},
	"sslnegotiation":       {since: 17},
	"hostaddr":             {refused: anAddress},
	"target_session_attrs": {refused: aPrimary},
	"sslcert":              {refused: onlyHere},
	"sslkey":               {refused: onlyHere},
	"sslpassword":          {refused: onlyHere},
}

// plain are the options that say nothing about security: they are heeded where they
// mean something. The password file is read once, here.
var plain = []string{"user", "password", "host", "port", "dbname", "database", "passfile", "connect_timeout", "application_name", "client_encoding"}

func onlyHere(string) string {
	return "the Postgres that subscribes cannot have the file of a client's certificate: let godwit's role in with a password over TLS, without a certificate"
}

func anAddress(value string) string {
	if net.ParseIP(value) == nil {
		return "it is no address"
	}
	return ""
}

func aPrimary(value string) string {
	if slices.Contains([]string{"any", "primary", "read-write"}, value) {
		return ""
	}
	return "a database moves from and to a primary"
}

// ParseURL reads the URL of a database, and refuses what cannot hold on every
// connection to it. An error is ErrURL and repeats no password.
func ParseURL(text string) (*pgx.ConnConfig, error) {
	const want = "give it postgres://USER:PASSWORD@HOST:5432/NAME"
	if several(text) {
		return nil, fmt.Errorf("%w names several hosts: a database moves from one server; give it the primary's", ErrURL)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, fmt.Errorf("%w is not a postgres:// URL: %s", ErrURL, want)
	}
	if err := refuse(u.Query()); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(text)
	var file *fs.PathError // of a certificate
	if errors.As(err, &file) {
		return nil, fmt.Errorf("%w names a file that cannot be read: %w", ErrURL, file)
	}
	if err != nil { // it may repeat the password
		return nil, fmt.Errorf("%w cannot be read: %s", ErrURL, want)
	}
	delete(config.RuntimeParams, "hostaddr") // what the driver does not know it tells the server
	if strings.Contains(u.Query().Get("host"), ",") {
		return nil, fmt.Errorf("%w names several hosts: a database moves from one server; give it the primary's", ErrURL)
	}
	if address := u.Query().Get("hostaddr"); address != "" {
		config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{address}, nil }
	}
	return config, nil
}

// several: the URL names more than one host.
func several(text string) bool {
	_, rest, _ := strings.Cut(text, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return strings.Contains(rest[strings.LastIndexByte(rest, '@')+1:], ",")
}

// refuse is an error when something that a URL says cannot hold.
func refuse(said url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(said)) {
		o, known := options[name]
		if !known && !slices.Contains(plain, name) {
			return fmt.Errorf("%w says %s, which does not hold on each of the connections of the engine, of pg_dump and of the Postgres that subscribes: take it out", ErrURL, name)
		}
		if len(said[name]) > 1 {
			return fmt.Errorf("%w says %s more than once", ErrURL, name)
		}
		if o.refused != nil && o.refused(said[name][0]) != "" {
			return fmt.Errorf("%w says %s: %s", ErrURL, name, o.refused(said[name][0]))
		}
	}
	if mode := said.Get("sslmode"); strings.HasPrefix(mode, "verify-") && said.Get("sslrootcert") == "" {
		return fmt.Errorf("%w says sslmode=%s without sslrootcert: name the file of the CA that the server's certificate is from", ErrURL, mode)
	}
	return nil
}

// said are the options of the URL that a Config was made of.
func said(config *pgx.ConnConfig) url.Values {
	u, err := url.Parse(config.ConnString())
	if err != nil {
		return nil
	}
	return u.Query()
}

// Address is the host and port at which a server is dialed.
func Address(config *pgx.ConnConfig) string {
	return net.JoinHostPort(cmp.Or(said(config).Get("hostaddr"), config.Host), strconv.Itoa(int(config.Port)))
}

// conninfo is what libpq connects with to the server of config, dialing it at
// address: it is the host of the URL whose certificate is wanted. Its pairs are those
// of the URL unless given here; an empty value leaves one out.
func conninfo(config *pgx.ConnConfig, address string, given map[string]string) string {
	host, port, _ := net.SplitHostPort(address)
	all := map[string]string{"host": config.Host, "hostaddr": host, "port": port, "dbname": config.Database, "user": config.User}
	if net.ParseIP(host) == nil {
		all["host"], all["hostaddr"] = host, ""
	}
	for name, values := range said(config) {
		if _, ok := options[name]; ok && name != "hostaddr" {
			all[name] = values[0]
		}
	}
	if all["target_session_attrs"] == "read-write" {
		all["target_session_attrs"] = "primary" // what a fence makes read-only is its writer still
	}
	maps.Copy(all, given)
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != "" {
			pairs = append(pairs, fmt.Sprintf("%s='%s'", name, escape.Replace(all[name])))
		}
	}
	return strings.Join(pairs, " ")
}

// holds finds options of the URLs that a program which connects does not know: it
// would refuse them, or, worse, not heed them.
func (b *Reader) holds(ctx context.Context) (landscape.Findings, error) {
	var all landscape.Findings
	programs := []program{{"pg_dump", Source, b.Dump.major(ctx)}}
	for _, side := range []string{Source, Target} {
		values, err := b.read(ctx, side, "SELECT current_setting('server_version_num')::int / 10000", "SELECT "+amSuper)
		if err != nil {
			return nil, err
		}
		major, _ := strconv.Atoi(values[0])
		programs = append(programs, program{"the Postgres of the " + side, other(side), major})
		file := said(b.side(other(side)).Config).Get("sslrootcert")
		if file != "" && file != "system" && values[1] != "t" {
			all = append(all, b.finding(other(side), landscape.Error, fmt.Sprintf("its url says sslrootcert, and the Postgres of the %s, which subscribes, cannot have that file", side),
				"only a superuser could put it there: say sslrootcert=system where the certificate is of a public authority (Postgres 16), or sslmode=require"))
		}
	}
	for _, p := range programs {
		for name := range said(b.side(p.reads).Config) {
			if since := options[name].since; since > p.major && p.major > 0 {
				all = append(all, b.finding(p.reads, landscape.Error, fmt.Sprintf("its url says %s, which %s (version %d) does not know", name, p.name, p.major),
					fmt.Sprintf("take it out, or give that version %d", since)))
			}
		}
	}
	return all, nil
}

// program connects to a side, with the libpq of a version of Postgres.
type program struct {
	name, reads string
	major       int
}

// mendOf says what to do about a server that was not reached.
func mendOf(err error) string {
	var pgErr *pgconn.PgError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrPooler):
		return "name the server itself in its URL, with its own port (5432, as a rule; PgBouncer's is 6432): services may go on through the pooler"
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return "it speaks no TLS, which its URL wants: turn that on there (ssl = on), or, where nobody else is on the network in between, say sslmode=disable"
	case errors.As(err, &authority), errors.As(err, &name):
		return "its certificate is not what its URL wants: name the right file in sslrootcert, and the host as the certificate does; or somebody is in between"
	case errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "28"):
		return "correct role and password in its URL, and let them in by its pg_hba.conf"
	case errors.As(err, &pgErr) && pgErr.Code == "3D000":
		return "correct the name of the database in its URL"
	}
	return "start it, or correct its URL"
}
