package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// named is the name in the certificates of the sources of these tests.
const named = "db.example"

// A URL that wants to know who answers moves a database: every session on the source
// is encrypted, and the one that its target opened has checked the name too.
func TestURLHoldsOnEveryConnection(t *testing.T) {
	t.Parallel()
	authority := migratetest.NewAuthority(t)
	source, target := migratetest.StartServer(t, authority.TLS(t, named)...), migratetest.StartServer(t)
	source.Fill(t, 10)
	pair := migratetest.Pair(t, source, target)
	pair.Source = migratetest.Side(t, migratetest.Named(t, source.Admin, named, "sslmode=verify-full&channel_binding=require&sslrootcert="+authority.File))
	relay := migratetest.StartProxy(t, source.Admin)
	pair.Source.Peer = relay.Address()
	if found, err := postgres.Reachable(t.Context(), pair); err != nil || len(found) > 0 {
		t.Fatalf("check: %+v, %v", found, err)
	}
	b := migratetest.Writer(t, pair)
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := migratetest.Text(t, source.Admin, `SELECT count(*) FILTER (WHERE NOT s.ssl) || ' of ' || count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
		WHERE a.pid <> pg_backend_pid() AND a.backend_type IN ('client backend', 'walsender')`); !strings.HasPrefix(got, "0 of ") || got == "0 of 0" {
		t.Errorf("%s sessions on the source are in clear", got)
	}
	info := migratetest.Text(t, target.Admin, "SELECT subconninfo FROM pg_subscription")
	for _, want := range []string{"sslmode='verify-full'", "channel_binding='require'", "host='" + named + "'", "hostaddr='127.0.0.1'"} {
		if !strings.Contains(info, want) {
			t.Errorf("the subscription connects with %s, without %s", info, want)
		}
	}
	if v, err := b.Verify(t.Context(), nil); err != nil || len(v.Differing) > 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// Who answers in the place of the source learns nothing, on none of the three ways.
func TestImpostorLearnsNoPassword(t *testing.T) {
	t.Parallel()
	authority, another := migratetest.NewAuthority(t), migratetest.NewAuthority(t)
	source, target := migratetest.StartServer(t, authority.TLS(t, named)...), migratetest.StartServer(t)
	source.Fill(t, 10)
	url := migratetest.Named(t, source.Admin, named, "sslmode=verify-full&sslrootcert="+authority.File)
	for name, impostor := range map[string]*migratetest.Impostor{
		"one without TLS":            migratetest.StartImpostor(t, nil, ""),
		"one with another authority": migratetest.StartImpostor(t, another, named),
		"one with another name":      migratetest.StartImpostor(t, authority, "other.example"),
	} {
		for way, lead := range map[string]func(*postgres.Pair){
			"the engine": func(p *postgres.Pair) { p.Source.Config.Port = impostor.Port },
			"pg_dump": func(p *postgres.Pair) { // the engine itself is led to the source
				real := net.JoinHostPort("127.0.0.1", fmt.Sprint(p.Source.Config.Port))
				p.Source.Config.Port = impostor.Port
				p.Source.Config.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, real)
				}
			},
			"the target's Postgres": func(p *postgres.Pair) { p.Source.Peer = impostor.Address },
		} {
			pair := migratetest.Pair(t, source, target)
			pair.Source = migratetest.Side(t, url)
			before, _ := impostor.Told()
			lead(&pair)
			if found, err := postgres.Reachable(t.Context(), pair); way == "the target's Postgres" && (err != nil || len(found) == 0) {
				t.Errorf("%s and %s: check finds nothing, %v", name, way, err)
			}
			b := migratetest.Writer(t, pair)
			if err := b.Sync(t.Context(), nil); err == nil {
				t.Errorf("%s and %s: sync is done", name, way)
			}
			asked, passwords := impostor.Told()
			if asked == before {
				t.Errorf("%s was not asked by %s", name, way)
			}
			if len(passwords) > 0 {
				t.Errorf("%s was told %d passwords by %s", name, len(passwords), way)
			}
			pair.Source.Peer = postgres.Address(pair.Source.Config)
			b.Close()
			if err := migratetest.Writer(t, migratetest.Pair(t, source, target)).Abort(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What cannot hold is refused, in words that repeat no password.
func TestURLRefused(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u:secret@a,b/shop":                                     "several hosts",
		"postgres://u:secret@a:1,b:2/shop":                                 "several hosts",
		"postgres://u:secret@/shop?host=a,b":                               "several hosts",
		"postgres://u:secret@a/shop?sslmode=verify-full":                   "without sslrootcert",
		"postgres://u:secret@a/shop?sslmode=verify-ca":                     "without sslrootcert",
		"postgres://u:secret@a/shop?sslmode=require&sslcert=c&sslkey=k":    "sslcert",
		"postgres://u:secret@a/shop?options=-csearch_path%3Dsecret":        "options",
		"postgres://u:secret@a/shop?sslcrl=secret":                         "sslcrl",
		"postgres://u:secret@a/shop?gssencmode=require":                    "gssencmode",
		"postgres://u:secret@a/shop?service=other":                         "service",
		"postgres://u:secret@a/shop?target_session_attrs=standby":          "a primary",
		"postgres://u:secret@a/shop?hostaddr=secret":                       "no address",
		"postgres://u:secret@a/shop?sslmode=disable&sslmode=verify-full":   "more than once",
		"postgres://u:secret@a/shop?sslmode=secret":                        "cannot be read",
		"postgres://u:secret@a/shop?sslmode=verify-full&sslrootcert=/none": "/none",
		"host=a password=secret":                                           "not a postgres:// URL",
		"":                                                                 "not a postgres:// URL",
	} {
		_, err := postgres.ParseURL(url)
		if !errors.Is(err, postgres.ErrURL) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	for _, url := range []string{"postgres://u:secret@a/shop", "postgresql://u@[::1]:5432/shop?sslmode=require&require_auth=scram-sha-256&connect_timeout=3",
		"postgres://a/shop?user=u&password=secret&sslnegotiation=postgres&target_session_attrs=read-write", "postgres:///shop?host=/run/postgresql"} {
		if _, err := postgres.ParseURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Check says what stands between a URL and its server.
func TestCheckOfURLs(t *testing.T) {
	t.Parallel()
	authority := migratetest.NewAuthority(t)
	plain, secure := migratetest.StartServer(t), migratetest.StartServer(t, authority.TLS(t, named)...)
	for url, want := range map[string]string{
		strings.Replace(plain.Admin, "sslmode=disable", "sslmode=require", 1):                                                            "ssl = on",
		migratetest.Named(t, secure.Admin, named, "sslmode=verify-full&sslrootcert="+migratetest.NewAuthority(t).File):                   "sslrootcert",
		migratetest.Named(t, secure.Admin, "other.example", "sslmode=verify-full&sslrootcert="+authority.File):                           "the host as the certificate does",
		strings.Replace(plain.Admin, "/shop", "/none", 1):                                                                                "name of the database",
		strings.Replace(plain.App, "shop:shop@", "shop:wrong@", 1):                                                                       "role and password",
		migratetest.Named(t, secure.Admin, named, "sslmode=verify-full&require_auth=scram-sha-256&sslrootcert="+authority.File):          "give that version 16",
		migratetest.Named(t, secure.Admin, named, "sslmode=require&sslnegotiation=postgres&sslcertmode=disable&channel_binding=require"): "give that version 17",
	} {
		pair := migratetest.Pair(t, plain, secure)
		pair.Source = migratetest.Side(t, url)
		findings, err := migratetest.Reader(t, pair).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said := false
		for _, f := range findings {
			said = said || f.Severity == landscape.Error && strings.Contains(f.Mend, want)
		}
		if !said {
			t.Errorf("%s: %+v, want %q", url, findings, want)
		}
	}
}
