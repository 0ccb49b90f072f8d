package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/smithy-go"

	"godwit/internal/api"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
)

// beforeAWS is an engine before an AWS that has nothing yet; change may put
// something between them.
func beforeAWS(t *testing.T, change func(*aws.Clients)) (*bench, api.UpRequest) {
	t.Helper()
	b := newBench(t)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "source") }))
	t.Cleanup(source.Close)
	b.text, b.env = moving, map[string]string{"TILL_URL": source.URL, "DATABASE": "postgres://shop:" + secret + "@127.0.0.1:1/shop"}
	clients := clientsOf(awsfake.New(awsfake.Options{}))
	change(&clients)
	b.Engine.sites["aws"] = func(_ context.Context, _ *Engine, w *world, _ api.Sink) (site.Site, error) {
		return aws.New(clients, aws.Options{Landscape: w.landscape, Region: awstest.Region}), nil
	}
	return b, api.UpRequest{Landscape: b.landscape(), Site: "aws", AWS: &api.AWS{Profile: "bistro", DatabaseCA: "/bundle.pem"}}
}

// silentRDS takes questions and does not answer.
type silentRDS struct {
	aws.RDS
	asked chan struct{}
}

func (s silentRDS) DescribeDBInstances(ctx context.Context, _ *rds.DescribeDBInstancesInput, _ ...func(*rds.Options)) (*rds.DescribeDBInstancesOutput, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// silentEC2 does so from some time on.
type silentEC2 struct {
	aws.EC2
	on *atomic.Bool
}

func (s silentEC2) DescribeVpcs(ctx context.Context, in *ec2.DescribeVpcsInput, o ...func(*ec2.Options)) (*ec2.DescribeVpcsOutput, error) {
	if s.on.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.EC2.DescribeVpcs(ctx, in, o...)
}

// TestSilentAWS: nothing waits for ever, and nobody finds the engine busy for it.
func TestSilentAWS(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	var on atomic.Bool
	b, up := beforeAWS(t, func(c *aws.Clients) { c.RDS, c.EC2 = silentRDS{c.RDS, asked}, silentEC2{c.EC2, &on} })
	_, err := b.Up(t.Context(), up, b.events.sink())
	b.ok(err)
	w, err := b.current()
	b.ok(err)
	b.ok(b.changeMigration(t.Context(), w, "datacenter", func(s *migrationState) { s.Phase = phaseSynced }))
	b.patience = 50 * time.Millisecond
	for name, ask := range map[string]func(context.Context, string, api.Sink) error{
		"check":   func(ctx context.Context, m string, s api.Sink) error { _, err := b.Check(ctx, m, s); return err },
		"cutover": func(ctx context.Context, m string, s api.Sink) error { _, err := b.Cutover(ctx, m, s); return err },
		"down": func(ctx context.Context, m string, s api.Sink) error {
			_, err := b.Down(ctx, api.DownRequest{}, s)
			return err
		},
	} {
		if err := ask(t.Context(), "datacenter", b.events.sink()); err == nil || name != "down" && !strings.Contains(err.Error(), "no answer within") {
			t.Errorf("%s: %v", name, err)
		}
	}
	on.Store(true)
	_, err = b.Up(t.Context(), up, b.events.sink())
	b.fails(err, api.Failed, "no answer within")
	s, err := b.Status(t.Context())
	if b.ok(err); !strings.Contains(s.Environments[0].Problem, "no answer within") || !strings.Contains(s.Migrations[0].Problem, "no answer within") {
		t.Errorf("status: %+v", s)
	}
	b.gets(host, "source")

	b.patience = time.Hour
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	rejoined := make(chan error)
	go func() { rejoined <- b.rejoinIdle(ctx, w, "datacenter") }()
	<-asked
	if b.busy() {
		t.Error("whoever keeps the streams keeps others from their commands while AWS is asked")
	}
	cancel()
	<-rejoined
	b.patience = 50 * time.Millisecond
	b.concealed()
}

// TestSecondUpOnAWS: what it does not say stays as it was said before.
func TestSecondUpOnAWS(t *testing.T) {
	t.Parallel()
	b, up := beforeAWS(t, func(*aws.Clients) {})
	_, err := b.Up(t.Context(), up, b.events.sink())
	b.ok(err)
	for _, again := range []*api.AWS{nil, {}, {Profile: "other"}} {
		up.AWS, up.Site = again, ""
		_, err := b.Up(t.Context(), up, b.events.sink())
		b.ok(err)
		w, err := b.current()
		b.ok(err)
		if w.settings.AWS.DatabaseCA != "/bundle.pem" || w.settings.AWS.Profile == "" || w.settings.Site != "aws" {
			t.Errorf("after %+v: %+v", again, w.settings.AWS)
		}
	}
	w, err := b.current()
	b.ok(err)
	s := w.settings
	s.Account = "999999999999"
	b.ok(b.saveSettings(t.Context(), s))
	_, err = b.Up(t.Context(), up, b.events.sink())
	b.fails(err, api.Refused, "of account "+awstest.AccountID, "in account 999999999999")
	b.ok(b.saveSettings(t.Context(), w.settings))
	b.ok(b.changeMigration(t.Context(), w, "datacenter", func(s *migrationState) { s.Phase, s.Truth = phaseCutOver, migrate.Target }))
	b.edit(`region   = "eu-central-1"`, `region   = "eu-west-1"`)
	up.Landscape = b.landscape()
	_, err = b.Up(t.Context(), up, b.events.sink())
	b.fails(err, api.Refused, "under way (cut-over)", "region eu-central-1, not to eu-west-1")
}

// TestDownFromAWS: what it ends is said; a finished migration has no need of it.
func TestDownFromAWS(t *testing.T) {
	t.Parallel()
	b, up := beforeAWS(t, func(*aws.Clients) {})
	_, err := b.Up(t.Context(), up, b.events.sink())
	b.ok(err)
	w, err := b.current()
	b.ok(err)
	b.ok(b.changeMigration(t.Context(), w, "datacenter", func(s *migrationState) { s.Phase, s.Truth = phaseCutOver, migrate.Target }))
	_, err = b.Down(t.Context(), api.DownRequest{}, b.events.sink())
	b.fails(err, api.Refused, "godwit migrate finish", "rollback", "The environment stays")
	b.ok(b.changeMigration(t.Context(), w, "datacenter", func(s *migrationState) { s.Phase = phaseFinished }))
	_, err = b.Down(t.Context(), api.DownRequest{}, b.events.sink())
	b.ok(err)
}

// expired makes every call fail, as when the credentials have ended, or none.
func (m *move) expired(on bool) {
	f := awsfake.Faults{}
	if on {
		f.Before = func(awsfake.Call) error {
			return &smithy.GenericAPIError{Code: "ExpiredToken", Message: "The security token is expired"}
		}
	}
	m.fake.SetFaults(f)
}

// TestKilledMovingToAWS kills the engine within cutovers and rollbacks. The next one starts without credentials: what can be taken back without
// AWS is, so that the source serves; the rest is settled when they are there again.
// No order is refused, lost or doubled, and there are never two writers.
func TestKilledMovingToAWS(t *testing.T) {
	if !inOwnNetwork(t, sourceAddress, targetAddress, balancerAddress) {
		return
	}
	m := startMove(t)
	m.upOnAWS()
	_, err := m.Sync(t.Context(), "datacenter", m.events.sink())
	m.ok(err)
	m.orders()
	back, forth := 0, 0
	for _, at := range []struct{ cutover, rollback int }{{4, 0}, {8, 0}, {10, 0}, {12, 0}, {13, 8}, {15, 12}, {18, 13}, {22, 19}} { // open begins at 13
		m.killAt(at.cutover, func() {
			_, err := m.Cutover(t.Context(), "datacenter", m.events.sink())
			m.ok(err)
		})
		if m.settledWithout(at.cutover) {
			back++
		}
		if m.truth() == "source" {
			continue
		}
		forth++
		m.killAt(at.rollback, func() {
			_, err := m.RollbackMigration(t.Context(), "datacenter", m.events.sink())
			m.ok(err)
		})
		m.settledWithout(at.rollback)
		if m.truth() == "target" {
			m.turns("rollback", m.RollbackMigration)
		}
	}
	if back != 4 || forth != 4 {
		t.Errorf("%d cutovers were taken back without AWS, %d ended", back, forth)
	}
	m.leftWithout()
}

// settledWithout restarts the engine without credentials, then gives them back;
// true when something was taken back without them.
func (m *move) settledWithout(n int) bool {
	m.Helper()
	left, err := m.journal.Unfinished(m.Context())
	m.ok(err)
	m.expired(true)
	failure := m.restart()
	m.oneWriter(n)
	took := failure == nil && len(left) > 0
	if took {
		m.gets(host, "source")
	}
	m.expired(false)
	if _, err := m.Check(m.Context(), "datacenter", m.events.sink()); err != nil {
		m.Fatalf("killed at %d: with credentials again: %v", n, err)
	}
	if left, _ := m.journal.Unfinished(m.Context()); len(left) > 0 {
		m.Fatalf("killed at %d: unfinished %+v", n, left)
	}
	m.oneWriter(n)
	m.more(5)
	return took
}

func (m *move) truth() string {
	m.Helper()
	s, err := m.MigrationStatus(m.Context(), "datacenter")
	m.ok(err)
	m.gets(host, s.Truth)
	return s.Truth
}

// oneWriter asks both databases themselves.
func (m *move) oneWriter(n int) {
	m.Helper()
	open := 0
	for _, server := range []*migratetest.Server{m.source, m.target} {
		if migratetest.Text(m.T, orRoot(server), "SELECT godwit.stands()::text") == "false" {
			open++
		}
	}
	if open > 1 {
		m.Fatalf("killed at %d: two writers", n)
	}
}

func orRoot(s *migratetest.Server) string {
	if s.Root != "" {
		return s.Root
	}
	return s.Admin
}

// leftWithout: the environment is gone for good, and the source keeps nothing of ours.
func (m *move) leftWithout() {
	m.Helper()
	m.stop()
	m.fake.SetDatabase(convention.Scope{Landscape: "bistro", Environment: "production"}.Database("shop"), "stopped")
	m.expired(true)
	_, err := m.Abort(m.Context(), "datacenter", api.LeaveRequest{}, m.events.sink())
	m.fails(err, api.Failed, "expired", "godwit down --approve")
	kept := migratetest.Text(m.T, m.source.Admin, `SELECT (SELECT count(*) FROM pg_replication_slots) || ' slots, ' ||
		(SELECT count(*) FROM pg_namespace WHERE nspname = 'godwit') || ' schemas, ' || (SELECT count(*) FROM pg_subscription) || ' subscriptions'`)
	if kept != "0 slots, 0 schemas, 0 subscriptions" {
		m.Errorf("the source keeps %s", kept)
	}
	if want, got := fmt.Sprint(m.count.Load()+500), migratetest.Text(m.T, m.source.Admin, "SELECT count(*)::text FROM orders"); got != want {
		m.Errorf("%s orders, want %s", got, want)
	}
	_, err = m.Down(m.Context(), api.DownRequest{}, m.events.sink())
	m.fails(err, api.Failed, "nothing was removed")
	_, err = m.Down(m.Context(), api.DownRequest{Approve: true}, m.events.sink())
	m.ok(err)
	if !m.events.said("failed", "a database could not be left") {
		m.Error("nobody says what stays on AWS")
	}
}

// frontElsewhere: a load balancer that does not answer is found before the day,
// and one that got another name is found when it counts.
func (m *move) frontElsewhere() {
	m.Helper()
	name := convention.Scope{Landscape: "bistro", Environment: "production"}.LoadBalancer(convention.Public, "")
	m.ok(m.fake.SetDNSName(name, sourceAddress)) // nobody listens there
	_, err := m.Up(m.Context(), api.UpRequest{Landscape: m.landscape(), Site: "aws"}, m.events.sink())
	m.ok(err)
	checks, err := m.Check(m.Context(), "datacenter", m.events.sink())
	m.ok(err)
	if said := marshal(m.T, checks.Findings); !strings.Contains(said, "does not answer from here") || !checks.Go {
		m.Errorf("check, go %t: %s", checks.Go, said) // a warning: rows may be what it lacks
	}
	m.ok(m.fake.SetDNSName(name, balancerAddress))
}
