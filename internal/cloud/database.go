package cloud

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/jackc/pgx/v5"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

// Prepared is a database that services can connect to.
type Prepared struct {
	Environment string `json:"environment"`
	Database    string `json:"database"`
	Role        string `json:"role"`
	Filled      bool   `json:"filled"` // its secret was put now; otherwise it was there
}

// PrepareDatabases makes, in one database of an environment or each, the role that
// services connect as, and puts what they connect with into the database's
// secret. It runs where the environment's network can be reached, and repeats
// safely: a role whose secret is filled is left alone. via is where a forwarded
// port of a single database listens; "" when its own address is reached.
func (c *Cloud) PrepareDatabases(ctx context.Context, environment, database, via string) ([]Prepared, error) {
	e, err := c.environment(environment)
	if err != nil {
		return nil, err
	}
	databases := c.Landscape.Databases
	if database != "" {
		d, ok := c.Landscape.Database(database)
		if !ok {
			return nil, api.Fail(api.Missing, "the landscape declares no database %q", database)
		}
		databases = []landscape.Database{d}
	}
	if via != "" && len(databases) != 1 {
		return nil, api.Fail(api.Usage, "a forwarded port leads to one database: name it with --database")
	}
	all := []Prepared{}
	for _, d := range databases {
		p := Prepared{Environment: e.Name, Database: d.Name, Role: d.Name}
		err := c.Sink.Timed(e.Name, "database "+d.Name, func() (err error) {
			p.Filled, err = c.prepareDatabase(ctx, e.Name, d, via)
			return err
		})
		if err != nil {
			return all, fail(err)
		}
		all = append(all, p)
	}
	return all, nil
}

// prepareDatabase sets the role's password before its secret is filled: who is
// killed in between sets another the next time.
func (c *Cloud) prepareDatabase(ctx context.Context, environment string, d landscape.Database, via string) (bool, error) {
	filled, err := c.site.SecretFilled(ctx, environment, d.Name)
	if err != nil || filled {
		return false, err
	}
	access, err := c.site.Database(ctx, environment, d.Name)
	if err != nil {
		return false, err
	}
	if via != "" {
		access.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, via)
		}
	}
	conn, err := connect(ctx, access)
	if err != nil {
		return false, fmt.Errorf("database %s of %s: %w", d.Name, environment, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// Of two at once the second waits, and finds the secret filled.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext('godwit owner'))"); err != nil {
		return false, err
	}
	if filled, err = c.site.SecretFilled(ctx, environment, d.Name); err != nil || filled {
		return false, err
	}
	password := rand.Text()
	if err := makeOwner(ctx, conn, access.Owner, password); err != nil {
		return false, fmt.Errorf("database %s of %s: %w", d.Name, environment, err)
	}
	return c.site.FillSecret(ctx, environment, d.Name, connection(conn.Config().Database, d.Name, access.Owner, password))
}

func connect(ctx context.Context, access site.DatabaseAccess) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(access.URL)
	if err != nil {
		return nil, errors.New("the address that AWS gave cannot be read") // it holds a password
	}
	config.DialFunc = access.Dial
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // Dial looks it up, if anybody
	conn, err := pgx.ConnectConfig(ctx, config)
	var dial *net.OpError
	if errors.As(err, &dial) {
		return nil, api.Fail(api.Failed, "it cannot be reached from here: %v; run this where the environment's network is reached, over its VPN for instance, or name a forwarded port with --via", dial)
	}
	return conn, err
}

// makeOwner makes the role, or gives it a new password, and lets it have the
// database. The server's log may hold statements: a verifier goes, not the password.
func makeOwner(ctx context.Context, conn *pgx.Conn, owner, password string) error {
	verifier, err := scram(password)
	if err != nil {
		return err
	}
	role, database := pgx.Identifier{owner}.Sanitize(), pgx.Identifier{conn.Config().Database}.Sanitize()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var there bool
		var version int
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1), current_setting('server_version_num')::int", owner).Scan(&there, &version)
		if err != nil {
			return err
		}
		verb, membership := "CREATE", ""
		if there {
			verb = "ALTER"
		}
		if version >= 160000 {
			membership = " WITH INHERIT TRUE, SET TRUE"
		}
		for _, statement := range []string{
			verb + " ROLE " + role + " LOGIN PASSWORD '" + verifier + "'",
			"GRANT " + role + " TO CURRENT_USER" + membership,
			"GRANT CONNECT, CREATE, TEMPORARY ON DATABASE " + database + " TO " + role,
			"GRANT USAGE, CREATE ON SCHEMA public TO " + role,
		} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// connection is what services read from the secret.
func connection(dbname, database, user, password string) map[string]string {
	host, port := landscape.DatabaseHost(database), strconv.Itoa(landscape.DatabasePort)
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: net.JoinHostPort(host, port),
		Path: "/" + dbname, RawQuery: "sslmode=require"}
	return map[string]string{"url": u.String(), "host": host, "port": port, "username": user, "password": password, "dbname": dbname}
}
