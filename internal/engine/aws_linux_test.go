package engine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/vishvananda/netlink"

	"godwit/internal/api"
	"godwit/internal/cloud"
	"godwit/internal/landscape"
	"godwit/internal/masker"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
	"godwit/internal/site/local/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// The addresses of this test's own network: the data centre's database, RDS, and
// the load balancer.
const (
	sourceAddress   = "192.168.10.5"
	targetAddress   = "10.30.128.4"
	balancerAddress = "10.30.0.4"
)

// moving is a landscape that moves to AWS.
const moving = `landscape "bistro" {}
environment "production" {
  network   = "10.30.0.0/16"
  protected = true
}
database "shop" {
  engine = "postgres"
}
service "till" {
  image = "v1"
  port  = 8080
  env   = { DATABASE_URL = database.shop.url }
  needs = [database.shop]
  health {
    path = "/healthz"
  }
  scale {
    min = 1
    max = 2
  }
}
ingress "till" {
  host    = "till.bistro.example"
  service = service.till
}
source "datacenter" {
  service "till" {
    url = env.TILL_URL
  }
  database "shop" {
    url = env.DATABASE
  }
}
migration "datacenter" {
  from      = source.datacenter
  to        = environment.production
  max_pause = "20s"
}
aws {
  region   = "eu-central-1"
  domain   = "bistro.example"
  oncall   = ["oncall@bistro.example"]
  instance = "t3.small"
  database = "db.t4g.medium"
  environment "production" {
    dns      = false
    gateways = ["203.0.113.7/32"]
    vpn {
      gateway = "203.0.113.10"
      network = "192.168.10.0/24"
    }
  }
}
`

// TestMigrationToAWS moves a till there and back and there for good, while orders
// come: every order that was confirmed is in the database that holds the truth,
// once. AWS is the model of it; its load balancer is a TLS server, its RDS a
// Postgres 17 without a superuser, in a network where they have such addresses.
func TestMigrationToAWS(t *testing.T) {
	if !inOwnNetwork(t, sourceAddress, targetAddress, balancerAddress) {
		return
	}
	m := startMove(t)
	m.upOnAWS()
	m.frontElsewhere()
	m.orders()
	m.checkIsGo()
	m.keepsSecrets()
	_, err := m.Sync(t.Context(), "datacenter", m.events.sink())
	m.ok(err)
	m.turns("cutover", m.Cutover)
	m.serves("target")
	m.ok(m.restart()) // the engine goes, the truth stays
	m.serves("target")
	m.rotate()
	m.fake.SetFaults(awsfake.Faults{Before: func(c awsfake.Call) error {
		if c.Operation == "DescribeLoadBalancers" {
			return &smithy.GenericAPIError{Code: "AccessDenied"} // the way back does not need the front
		}
		return nil
	}})
	m.turns("rollback", m.RollbackMigration)
	m.fake.SetFaults(awsfake.Faults{})
	m.serves("source")
	m.turns("cutover", m.Cutover)
	v, err := m.Verify(t.Context(), "datacenter", m.events.sink())
	if err != nil || !v.Equal || v.Rows == 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	_, err = m.Finish(t.Context(), "datacenter", api.LeaveRequest{}, m.events.sink())
	m.ok(err)
	m.audit()
	m.makesNothing()
	_, err = m.Down(t.Context(), api.DownRequest{}, m.events.sink())
	m.ok(err)
	if _, err := m.site.Observe(t.Context(), "production"); err != nil {
		t.Errorf("down has ended what it has not made: %v", err)
	}
}

// TestBeforeAWSIsThere: the traffic is adopted, and what is missing is said.
func TestBeforeAWSIsThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "source") }))
	t.Cleanup(source.Close)
	b.text, b.env = moving, map[string]string{"TILL_URL": source.URL, "DATABASE": "postgres://shop:" + secret + "@192.168.10.5/shop"}
	fake := awsfake.New(awsfake.Options{})
	b.Engine.sites["aws"] = func(_ context.Context, _ *Engine, w *world, _ api.Sink) (site.Site, error) {
		return aws.New(clientsOf(fake), aws.Options{Landscape: w.landscape, Region: awstest.Region}), nil
	}
	up := api.UpRequest{Landscape: b.landscape(), Site: "aws"}
	_, err := b.Up(t.Context(), up, b.events.sink())
	b.ok(err)
	b.gets(host, "source")
	if !b.events.said("note", "not there yet") || !strings.Contains(b.events.String(), "godwit aws apply --env production") {
		t.Errorf("nobody says what is missing: %s", b.events.String())
	}
	up.Site = "local"
	_, err = b.Up(t.Context(), up, b.events.sink())
	b.fails(err, api.Refused, "on aws, not on local", "--state")
	up.Site, up.Landscape = "", api.Landscape{Dir: b.images, Env: b.env, Files: []api.File{{Name: "landscape.hcl",
		Bytes: []byte(strings.Replace(moving, `migration "datacenter"`, `# none; source "other" `, 1))}}}
	_, err = b.Up(t.Context(), up, b.events.sink())
	if err == nil {
		t.Error("a landscape without a migration is up")
	}
	b.concealed()
}

// move is an engine before AWS, and both sides of its migration.
type move struct {
	*bench
	fake           *awsfake.Cloud
	site           *aws.Site
	source, target *migratetest.Server
	acked          sync.Map // keys of confirmed orders
	count          atomic.Int64
	stop           func() // ends the orders
}

func startMove(t *testing.T) *move {
	t.Helper()
	cert, key, pair, roots := certificate(t)
	b := newBench(t, func(b *bench) { b.roots = roots })
	m := &move{bench: b, fake: awsfake.New(awsfake.Options{})}
	at := func(address string) postgrestest.Option {
		return postgrestest.Change(func(o *postgres.ServerOptions) { o.ListenAddress, o.Port = address, landscape.DatabasePort })
	}
	m.source = migratetest.StartServer(t, at(sourceAddress))
	m.target = migratetest.StartBareRDS(t, at(targetAddress), postgrestest.Config("ssl", "on"),
		postgrestest.Config("ssl_cert_file", cert), postgrestest.Config("ssl_key_file", key))
	migratetest.Exec(t, m.source.App, "CREATE TABLE orders (key text PRIMARY KEY)", "INSERT INTO orders SELECT 'old-' || g FROM generate_series(1, 500) g")
	m.applied()
	source := httptest.NewServer(till(t, m.source.App, "source"))
	t.Cleanup(source.Close)
	m.text, m.env = moving, map[string]string{"TILL_URL": source.URL, "DATABASE": m.source.Admin}
	m.bench.sites["aws"] = func(_ context.Context, _ *Engine, w *world, _ api.Sink) (site.Site, error) {
		m.site = aws.New(clientsOf(m.fake), aws.Options{Landscape: w.landscape, Region: awstest.Region})
		return m.site, nil
	}
	m.ok(m.restart())
	balancer(t, till(t, m.prepared(), "target"), pair)
	return m
}

// applied is what `godwit aws apply` leaves, and the addresses that AWS gives.
func (m *move) applied() {
	m.Helper()
	l, findings := landscape.Parse([]landscape.File{{Name: "landscape.hcl", Bytes: []byte(moving)}})
	if findings.HasErrors() {
		m.Fatal(findings)
	}
	p := awstest.Fronts{Provisioner: &awstest.Provisioner{EC2: m.fake.EC2(), AutoScaling: m.fake.AutoScaling(), LoadBalancing: m.fake.LoadBalancing(),
		RDS: m.fake.RDS(), SecretsManager: m.fake.SecretsManager(), Landscape: "bistro", Zones: []string{awstest.Region + "a", awstest.Region + "b"}}}
	m.ok(p.Apply(m.Context(), l, "production"))
	scope := convention.Scope{Landscape: "bistro", Environment: "production"}
	m.ok(m.fake.SetEndpoint(scope.Database("shop"), targetAddress, landscape.DatabasePort))
	m.ok(m.fake.SetMaster(scope.Database("shop"), migratetest.Master, "master"))
	m.ok(m.fake.SetDNSName(scope.LoadBalancer(convention.Public, ""), balancerAddress))
}

// prepared is what `godwit aws databases` puts into the secret for the services.
func (m *move) prepared() string {
	m.Helper()
	l, _ := landscape.Parse([]landscape.File{{Name: "landscape.hcl", Bytes: []byte(moving)}})
	clients := clientsOf(m.fake)
	c, err := cloud.Open(m.Context(), cloud.Options{Landscape: l, Sink: m.events.sink(), Clients: &clients})
	m.ok(err)
	_, err = c.PrepareDatabases(m.Context(), "production", "", "")
	m.ok(err)
	name := convention.Scope{Landscape: "bistro", Environment: "production"}.DatabaseSecret("shop")
	out, err := m.fake.SecretsManager().GetSecretValue(m.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
	m.ok(err)
	var secret map[string]string
	m.ok(json.Unmarshal([]byte(*out.SecretString), &secret))
	u, err := url.Parse(secret["url"])
	m.ok(err)
	u.Host = net.JoinHostPort(targetAddress, secret["port"]) // what the private zone would say
	return u.String()
}

func clientsOf(c *awsfake.Cloud) aws.Clients {
	return aws.Clients{AutoScaling: c.AutoScaling(), EC2: c.EC2(), LoadBalancing: c.LoadBalancing(), CloudWatch: c.CloudWatch(), RDS: c.RDS(),
		SecretsManager: c.SecretsManager(), S3: c.S3(), STS: c.STS()}
}

// till takes orders into a database: confirmed is what is committed.
func till(t *testing.T, database, side string) http.Handler {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, side) })
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		key, err := io.ReadAll(r.Body)
		if err == nil {
			err = insert(r.Context(), pool, string(key))
		}
		if err != nil {
			http.Error(w, side+": "+err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

// insert tries again when the session was ended while nobody used it: the fence
// ends those of the side that is left, and the till comes back to it.
func insert(ctx context.Context, pool *pgxpool.Pool, key string) error {
	for {
		_, err := pool.Exec(ctx, "INSERT INTO orders (key) VALUES ($1)", key)
		var ended *pgconn.PgError
		if !errors.As(err, &ended) || ended.Code != "57P01" {
			return err
		}
	}
}

// balancer stands for AWS's: it ends the TLS of clients.
func balancer(t *testing.T, services http.Handler, pair tls.Certificate) {
	t.Helper()
	ln, err := tls.Listen("tcp", net.JoinHostPort(balancerAddress, "443"), &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: services, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
}

func (m *move) upOnAWS() {
	m.Helper()
	r, err := m.Up(m.Context(), api.UpRequest{Landscape: m.landscape(), Site: "aws"}, m.events.sink())
	m.ok(err)
	if len(r.Routes) != 1 || r.Routes[0] != (api.Route{Host: host, Pool: "source/datacenter/till"}) {
		m.Errorf("routes %+v", r.Routes)
	}
	m.serves("source")
}

// keepsSecrets: why a server turns one away is said without what it repeats.
func (m *move) keepsSecrets() {
	m.Helper()
	right := m.env["DATABASE"]
	wrong, err := url.Parse(right)
	m.ok(err)
	wrong.User = url.UserPassword(secret, secret)
	m.env["DATABASE"] = wrong.String()
	m.upOnAWS()
	checks, err := m.Check(m.Context(), "datacenter", m.events.sink())
	m.ok(err)
	_, err = m.Sync(m.Context(), "datacenter", m.events.sink())
	m.fails(err, api.Usage, "findings")
	for _, findings := range []landscape.Findings{checks.Findings, api.AsFailure(err).Findings} {
		text := marshal(m.T, findings)
		if m.concealed(text); !strings.Contains(text, masker.Concealed) {
			m.Errorf("nothing was to be concealed: %s", text)
		}
	}
	m.env["DATABASE"] = right
	m.upOnAWS()
}

func (m *move) checkIsGo() {
	m.Helper()
	checks, err := m.Check(m.Context(), "datacenter", m.events.sink())
	if m.ok(err); !checks.Go {
		m.Fatalf("check: %+v", checks.Findings)
	}
}

// turns switches while orders come.
func (m *move) turns(what string, turn func(context.Context, string, api.Sink) (api.SwitchReport, error)) {
	m.Helper()
	m.more(50)
	r, err := turn(m.Context(), "datacenter", m.events.sink())
	m.ok(err)
	if r.Outcome != "done" || len(r.Findings) > 0 {
		m.Fatalf("%s: %+v", what, r)
	}
	m.Logf("%s: write pause %v ms, %d requests held", what, r.WritePauseMS, r.Held)
	m.more(50)
}

// serves asks the gateway, and the engine, who holds the truth.
func (m *move) serves(side string) {
	m.Helper()
	m.gets(host, side)
	s, err := m.Status(m.Context())
	if m.ok(err); s.Site != "aws" || s.Problem != "" || len(s.Migrations) != 1 || s.Migrations[0].Truth != side || s.Migrations[0].Problem != "" {
		m.Errorf("status %+v", s)
	}
}

// rotate does what RDS does every week: the master gets another password.
func (m *move) rotate() {
	m.Helper()
	migratetest.Exec(m.T, m.target.Root, "ALTER ROLE "+migratetest.Master+" PASSWORD 'another'",
		"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
	m.ok(m.fake.SetMaster(convention.Scope{Landscape: "bistro", Environment: "production"}.Database("shop"), migratetest.Master, "another"))
}

// makesNothing: what is godwit aws's to do is refused, with a word on it.
func (m *move) makesNothing() {
	m.Helper()
	_, err := m.Deploy(m.Context(), api.DeployRequest{Service: "till", Image: m.image("v2")}, m.events.sink())
	m.fails(err, api.Usage, "godwit aws deploy")
	_, err = m.Plan(m.Context(), m.landscape(), m.events.sink())
	m.fails(err, api.Usage, "godwit aws plan")
}

// orders come until the test ends; none may be refused.
func (m *move) orders() {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				m.order(fmt.Sprintf("order-%d-%d", c, i))
				<-tick.C
			}
		})
	}
	m.stop = sync.OnceFunc(func() { cancel(); clients.Wait() })
	m.Cleanup(m.stop)
}

func (m *move) order(key string) {
	req, err := http.NewRequest(http.MethodPost, "http://"+m.front.address+"/orders", strings.NewReader(key))
	if err != nil {
		m.Error(err)
		return
	}
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		m.Errorf("order %s: %v", key, err)
		return
	}
	defer res.Body.Close()
	if said, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		m.Errorf("order %s: %s %s", key, res.Status, said)
		return
	}
	m.acked.Store(key, true)
	m.count.Add(1)
}

// more waits for orders.
func (m *move) more(n int64) {
	m.Helper()
	want := m.count.Load() + n
	migratetest.Eventually(m.T, "orders are confirmed", func() bool { return m.count.Load() >= want })
}

// audit looks for every confirmed order where the truth is.
func (m *move) audit() {
	m.Helper()
	m.stop()
	there := map[string]bool{}
	for key := range strings.SplitSeq(migratetest.Text(m.T, m.target.Root, "SELECT string_agg(key, ' ') FROM orders"), " ") {
		there[key] = true
	}
	m.acked.Range(func(key, _ any) bool {
		if !there[key.(string)] {
			m.Errorf("%s was confirmed and is lost", key)
		}
		return true
	})
	if want := int(m.count.Load()) + 500; len(there) != want {
		m.Errorf("%d orders, want %d", len(there), want)
	}
	m.Logf("%d orders confirmed, none refused", m.count.Load())
}

// certificate of the till, by an authority of its own; the files are for Postgres.
func certificate(t *testing.T) (cert, key string, pair tls.Certificate, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, DNSNames: []string{host}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "godwit-tls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o711)
	cert, key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for path, text := range map[string][]byte{cert: certPEM, key: keyPEM} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, postgres.DefaultID, postgres.DefaultID); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return cert, key, pair, roots
}

// inOwnNetwork runs the test again in a network namespace of its own, which has
// these addresses and no way out. There it is true; here the test has ended.
func inOwnNetwork(t *testing.T, addresses ...string) bool {
	t.Helper()
	const inside = "GODWIT_TEST_NETWORK"
	if os.Getenv(inside) != "" {
		addAddresses(t, addresses)
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("only root makes a network of its own and starts Postgres in it")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("in a network of its own:\n%s", out)
	return false
}

func addAddresses(t *testing.T, addresses []string) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		prefix := netip.PrefixFrom(netip.MustParseAddr(a), 32)
		if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(32, 32)}}); err != nil {
			t.Fatal(err)
		}
	}
}
