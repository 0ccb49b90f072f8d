package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"godwit/internal/door"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/local/postgres"
	"godwit/internal/site/local/runtime"
	"godwit/internal/site/local/warden"
)

// adminUser is the superuser of every database server.
const adminUser = "godwit"

// insideData is where a database instance has its data.
const insideData = "/data"

// ensureDatabases has every database of the record running and ready.
func (s *Site) ensureDatabases(ctx context.Context, r *record) error {
	if len(r.Databases) == 0 {
		return nil
	}
	template, err := s.template(ctx)
	if err != nil {
		return err
	}
	group, each := errgroup.WithContext(ctx)
	for _, name := range slices.Sorted(maps.Keys(r.Databases)) {
		group.Go(func() error {
			if err := s.startDatabase(each, r, name, template); err != nil {
				return fmt.Errorf("database %s in %s: %w", name, r.Name, err)
			}
			return s.ensureRole(each, r, name)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, d := range r.Databases {
		d.Ready = true
	}
	return s.save(r)
}

func (s *Site) template(ctx context.Context) (string, error) {
	dir := s.Template
	if dir == "" {
		var err error
		if dir, err = postgres.TemplateDir(s.Postgres); err != nil {
			return "", err
		}
	}
	return dir, postgres.EnsureTemplate(ctx, s.Postgres, dir)
}

// startDatabase makes the server's data directory and has its instance started.
func (s *Site) startDatabase(ctx context.Context, r *record, name, template string) error {
	d := r.Databases[name]
	data := filepath.Join(s.dataDir(r.Name), name)
	id := warden.InstanceID(r.number(d.Address))
	settings := postgres.Settings{AdminUser: adminUser, AdminPassword: d.AdminPassword, NoSync: s.NoSync,
		Config: map[string]string{"max_slot_wal_keep_size": "8GB"}} // until a migration says how much: see Configure
	if s.NoSync {
		settings.Config["fsync"], settings.Config["full_page_writes"] = "off", "off"
	}
	if os.Geteuid() == 0 && !s.plain {
		settings.UID = warden.HostID(s.wardenDir(r.Name), id)
		settings.GID = settings.UID
	}
	if err := postgres.Prepare(ctx, s.Postgres, template, data, settings); err != nil {
		return err
	}
	address := r.real(d.Address)
	spec := runtime.Spec{ID: databaseID(name), Hostname: "db-" + name, Symlinks: s.Postgres.Symlinks,
		Binds: []runtime.Bind{{Source: data, Target: insideData, Writable: true}},
		Env:   s.Postgres.Env, Hosts: r.hosts(), Address: address, HostID: id, OOMScore: 200,
		Lock: insideData + "/godwit.lock", StopSignal: int(syscall.SIGINT), Grace: endGracefully / 2}
	for _, path := range s.Postgres.Binds {
		spec.Binds = append(spec.Binds, runtime.Bind{Source: path, Target: path})
	}
	inside := insideData
	if s.plain {
		inside = data
		spec.UID, spec.GID = plainIdentity()
	}
	spec.Command = postgres.Command(s.Postgres, inside, address.String(), landscape.DatabasePort)
	return s.client(r.Name).PutInstance(ctx, warden.Instance{Spec: spec, Last: true,
		Health: warden.Health{Port: landscape.DatabasePort, Interval: time.Second, Timeout: 3 * time.Second,
			Login: &warden.Login{User: adminUser, Password: d.AdminPassword, Database: "postgres"}}})
}

// plainIdentity is who runs Postgres where there is no isolation: it refuses to run as root.
func plainIdentity() (uid, gid int) {
	if os.Geteuid() == 0 {
		return postgres.DefaultID, postgres.DefaultID
	}
	return 0, 0
}

// ensureRole waits until the server answers, and makes the role and the
// database that it owns, unless they are there.
func (s *Site) ensureRole(ctx context.Context, r *record, name string) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 10*time.Millisecond, 100*time.Millisecond
	conn, err := backoff.Retry(ctx, func() (*pgx.Conn, error) {
		conn, err := s.connect(ctx, r, name)
		if err != nil && errors.Is(s.Pulse(ctx, r.Name), site.ErrDead) {
			err = backoff.Permanent(fmt.Errorf("%w: %w", site.ErrDead, err)) // nothing will answer there
		}
		return conn, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(s.LaunchTimeout))
	if err != nil {
		return fmt.Errorf("database %s in %s does not answer: %w%s", name, r.Name, err, s.lastWords(r.Name, databaseID(name)))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	d := r.Databases[name]
	for _, step := range []struct{ exists, make string }{
		{"select 1 from pg_roles where rolname = $1",
			fmt.Sprintf("create role %s login password '%s'", pgx.Identifier{name}.Sanitize(), d.Password)},
		{"select 1 from pg_database where datname = $1",
			fmt.Sprintf("create database %s owner %[1]s", pgx.Identifier{name}.Sanitize())},
	} {
		var one int
		err := conn.QueryRow(ctx, step.exists, name).Scan(&one)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = conn.Exec(ctx, step.make)
		}
		if err != nil {
			return fmt.Errorf("prepare database %s in %s: %w", name, r.Name, err)
		}
	}
	return nil
}

// connect to the server of a database as its administrator.
func (s *Site) connect(ctx context.Context, r *record, name string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(s.adminURL(r, name, "postgres"))
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	config.DialFunc = s.dialer(r)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return pgx.ConnectConfig(ctx, config)
}

func (s *Site) adminURL(r *record, server, database string) string {
	d := r.Databases[server]
	return databaseURL(adminUser, d.AdminPassword, d.Address.String(), landscape.DatabasePort, database)
}

// dialer connects to addresses of an environment as the engine may.
func (s *Site) dialer(r *record) func(context.Context, string, string) (net.Conn, error) {
	socket := warden.AdminSocket(s.wardenDir(r.Name))
	return func(ctx context.Context, netw, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		a, err := netip.ParseAddr(host)
		if err != nil {
			return nil, fmt.Errorf("%s is no address of environment %s", address, r.Name)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, err
		}
		return door.Dial(ctx, socket, netw, r.realPort(a, int(n)).String())
	}
}

// Database implements site.Administrator.
func (s *Site) Database(_ context.Context, environment, database string) (site.DatabaseAccess, error) {
	r, err := s.load(environment)
	if err != nil {
		return site.DatabaseAccess{}, err
	}
	if r.Databases[database] == nil {
		return site.DatabaseAccess{}, fmt.Errorf("database %q in environment %s: %w", database, environment, site.ErrNotFound)
	}
	return site.DatabaseAccess{URL: s.adminURL(r, database, database), Owner: database, Dial: s.dialer(r)}, nil
}
