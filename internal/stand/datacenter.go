// Package stand is what a move is tried on: the restaurant in its data centre
// (real processes, one real Postgres), and godwit as a user runs it.
//
// Its nouns: a Datacenter, which ends with this process even when it is killed; a
// Program, godwit with its state directory. The demo and the fault campaign import it.
package stand

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"

	"godwit/internal/site/local/postgres"
)

// Databases of the restaurant: name and schema file; the role that owns it has its name.
var Databases = []string{"till", "menu"}

// services of the restaurant, and the database each works on.
var services = []struct{ name, database string }{{"menu", "menu"}, {"till", "till"}, {"kitchen", "till"}}

const serviceStart = 10 * time.Second

// Datacenter is where the restaurant runs before the move: plain processes on
// one host, one Postgres; no environments, no gateway, no scaling.
type Datacenter struct {
	dir       string
	Server    *postgres.Server
	processes *processes
	urls      map[string]string // of services
	passwords map[string]string // of roles
}

// StartDatacenter starts Postgres with the restaurant's schema and its services.
func StartDatacenter(ctx context.Context, dir, bistro, programs string) (*Datacenter, error) {
	d := &Datacenter{dir: dir, urls: map[string]string{}, passwords: map[string]string{}, processes: newProcesses()}
	inst, err := postgres.Find(ctx)
	if err != nil {
		return d, err
	}
	if d.Server, err = postgres.Start(ctx, inst, postgres.ServerOptions{Dir: filepath.Join(dir, "postgres"), AdminPassword: rand.Text()}); err != nil {
		return d, fmt.Errorf("the data centre's Postgres: %w", err)
	}
	for _, name := range Databases {
		if err := d.createDatabase(ctx, name, filepath.Join(bistro, "schema", name+".sql")); err != nil {
			return d, fmt.Errorf("the data centre's database %s: %w", name, err)
		}
	}
	for _, s := range services {
		if err := d.startService(ctx, s.name, s.database, filepath.Join(programs, s.name)); err != nil {
			return d, fmt.Errorf("the data centre's %s: %w", s.name, err)
		}
	}
	return d, nil
}

// createDatabase makes a role, its database, and the schema in it.
func (d *Datacenter) createDatabase(ctx context.Context, name, schema string) error {
	d.passwords[name] = rand.Text()
	err := d.sql(ctx, "postgres", fmt.Sprintf("CREATE ROLE %[1]s LOGIN PASSWORD '%[2]s'", name, d.passwords[name]),
		fmt.Sprintf("CREATE DATABASE %[1]s OWNER %[1]s", name))
	if err != nil {
		return err
	}
	ddl, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	return d.sql(ctx, name, "ALTER SCHEMA public OWNER TO "+name, "SET ROLE "+name, string(ddl))
}

func (d *Datacenter) sql(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, d.Server.URL(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.PgConn().Exec(ctx, s).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}

// startService starts one program and waits until it answers.
func (d *Datacenter) startService(ctx context.Context, name, database, program string) error {
	address, err := FreeAddress()
	if err != nil {
		return err
	}
	d.urls[name] = "http://" + address
	app, err := url.Parse(d.Server.URL(database))
	if err != nil {
		return err
	}
	app.User = url.UserPassword(database, d.passwords[database])
	log, err := os.Create(filepath.Join(d.dir, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program)
	cmd.Env = []string{"LISTEN=" + address, "DATABASE_URL=" + app.String(), "MENU_URL=" + d.urls["menu"]}
	cmd.Stdout, cmd.Stderr = log, log
	if err := d.processes.start(cmd); err != nil {
		return err
	}
	return answers(ctx, d.urls[name]+"/healthz")
}

// Environment is what landscape.hcl refers to as env.NAME.
func (d *Datacenter) Environment() []string {
	return []string{
		"DATACENTER_TILL_URL=" + d.urls["till"],
		"DATACENTER_MENU_URL=" + d.urls["menu"],
		"DATACENTER_KITCHEN_URL=" + d.urls["kitchen"],
		"DATACENTER_DATABASE_URL=" + d.Server.URL("till"),
		"DATACENTER_MENU_DATABASE_URL=" + d.Server.URL("menu"),
	}
}

// Stop ends services, then Postgres.
func (d *Datacenter) Stop(ctx context.Context) error {
	d.processes.stop(ctx)
	if d.Server == nil {
		return nil
	}
	return d.Server.Stop(ctx)
}

func answers(ctx context.Context, address string) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return struct{}{}, backoff.Permanent(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return struct{}{}, err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return struct{}{}, fmt.Errorf("%s answers %s", address, res.Status)
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(backoff.NewConstantBackOff(10*time.Millisecond)), backoff.WithMaxElapsedTime(serviceStart))
	return err
}

// FreeAddress is a loopback address that nobody listens on now.
func FreeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// processes starts programs that end with this process, even when it is killed:
// the kernel ties that to the thread that started them, so one thread starts
// all of them and lives until stop.
type processes struct {
	requests chan func()
	running  []*exec.Cmd
}

func newProcesses() *processes {
	p := &processes{requests: make(chan func())}
	go p.serve()
	return p
}

func (p *processes) start(cmd *exec.Cmd) error {
	result := make(chan error)
	p.requests <- func() {
		cmd.SysProcAttr = withParent()
		err := cmd.Start()
		if err == nil {
			p.running = append(p.running, cmd)
		}
		result <- err
	}
	return <-result
}

// stop asks the programs to end, and makes them when ctx or five seconds are over.
func (p *processes) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for i := len(p.running) - 1; i >= 0; i-- {
		cmd := p.running[i]
		cmd.Process.Signal(syscall.SIGTERM)
		kill := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
		cmd.Wait()
		kill()
	}
	p.running = nil
	close(p.requests)
}

// environ is this process's environment with what a demo must not inherit taken out.
func environ(extra ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GODWIT_STATE=") && !strings.HasPrefix(v, "DATACENTER_") {
			env = append(env, v)
		}
	}
	return append(env, extra...)
}
