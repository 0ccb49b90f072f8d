package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/site"
)

// beside is the site in memory with real databases beside it, that of the
// environment and that of the data centre, and relays that are counted.
type beside struct {
	*front
	source, target *migratetest.Server
	starts         func(context.Context, fleet.Release) error // what instances do before they are ready

	mu     sync.Mutex
	open   map[string]bool
	opened int
}

func (s *beside) Launch(ctx context.Context, r fleet.Release) error {
	if s.starts != nil {
		if err := s.starts(ctx, r); err != nil {
			return err
		}
	}
	return s.front.Launch(ctx, r)
}

func (s *beside) Database(context.Context, string, string) (site.DatabaseAccess, error) {
	return site.DatabaseAccess{URL: s.target.Admin, Owner: migratetest.Owner}, nil
}

func (s *beside) OpenRelay(_ context.Context, environment, database, _ string) (site.Relay, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[environment+"/"+database] = true
	s.opened++
	at := func(server *migratetest.Server) string {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port))
	}
	return site.Relay{Source: at(s.source), Target: at(s.target)}, nil
}

func (s *beside) CloseRelay(_ context.Context, environment, database string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, environment+"/"+database)
	return nil
}

// relays are how many are open, and how often one was opened so far.
func (s *beside) relays() (open, opened int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open), s.opened
}

// looked is an engine behind its API, with a migration between real databases.
type looked struct {
	*bench
	site *beside
	url  string
}

func newLooked(t *testing.T, rows int, options ...func(*looked)) *looked {
	t.Helper()
	l := &looked{bench: withMigration(t)}
	l.site = &beside{front: l.front, source: migratetest.StartServer(t), target: migratetest.StartServer(t), open: map[string]bool{}}
	l.site.source.Fill(t, rows)
	l.local = l.site
	l.env["DATABASE"] = l.site.source.Admin
	l.edit(`max_pause = "2s"`, `max_pause = "20s"`)
	l.text += `probe "orders" {
  ingress = ingress.till
  request "order" {
    path   = "/"
    ledger = "orders"
  }
  ledger "orders" {
    database = database.till
    query    = "SELECT key, 1 FROM \"order\""
  }
}
`
	for _, option := range options {
		option(l)
	}
	l.ok(l.restart())
	l.up()
	server := httptest.NewServer(api.Handler(l.Engine, "test"))
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// bodies are what is asked for, of routes that are asked with one.
func (l *looked) bodies() map[string]any {
	landscape := l.landscape()
	return map[string]any{"plan": landscape, "logs": api.LogsRequest{}, "ledger": api.LedgerRequest{Probe: "orders"},
		"up": api.UpRequest{Landscape: landscape, Approve: true}, "down": api.DownRequest{Approve: true},
		"deploy": api.DeployRequest{Service: "till"}, "rollback": api.RollbackRequest{Service: "till"},
		"migration-apply": api.ApplyRequest{SQL: "ALTER TABLE \"order\" ADD COLUMN note text"}}
}

// call asks for a row of the API's table. The error is a failure as its last
// line, or as its answer.
func (l *looked) call(ctx context.Context, op api.Operation) error {
	var body io.Reader = http.NoBody
	if in, has := l.bodies()[op.ID]; has {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, op.Method, l.url+strings.ReplaceAll(op.Path, "{name}", "datacenter"), body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var last struct {
		Failure *api.Failure
		Code    api.Code
		Message string
		Problem string
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		return fmt.Errorf("%s: %w: %.200s", res.Status, err, text)
	}
	switch {
	case last.Failure != nil:
		return last.Failure
	case last.Code != "":
		return api.Fail(last.Code, "%s", last.Message)
	case last.Problem != "" && !slow(last.Problem):
		return fmt.Errorf("it has a problem: %s", last.Problem)
	}
	return nil
}

// slow: a status says of whom it got no answer in time, on a machine that is busy.
func slow(problem string) bool {
	return strings.Contains(problem, "deadline exceeded") || strings.Contains(problem, "no answer within")
}

// lookEvery is how often each route is asked: more often than anybody would, and
// the machine has something left for what is looked at.
const lookEvery = 250 * time.Millisecond

// looking calls every route that only looks, all the time, until stop; each is
// called at least so many times.
func (l *looked) looking(least int) (stop func()) {
	ctx, cancel := context.WithCancel(l.Context())
	var clients sync.WaitGroup
	enough := make(chan struct{})
	var waiting atomic.Int64
	var ended atomic.Bool
	counts := map[string]*atomic.Int64{}
	for _, op := range api.Operations() {
		if !op.Reads {
			continue
		}
		count := &atomic.Int64{}
		counts[op.ID] = count
		waiting.Add(1)
		clients.Go(func() {
			tick := time.NewTicker(lookEvery)
			defer tick.Stop()
			for n := int64(1); ctx.Err() == nil && !(ended.Load() && n > int64(least)); n++ {
				<-tick.C
				if err := l.call(ctx, op); err != nil && ctx.Err() == nil {
					l.Errorf("%s: %v", op.ID, err)
					break
				}
				count.Store(n)
			}
			if waiting.Add(-1) == 0 {
				close(enough)
			}
		})
	}
	l.Cleanup(func() { cancel(); clients.Wait() })
	return func() {
		l.Helper()
		ended.Store(true)
		<-enough
		cancel()
		for id, n := range counts {
			if n.Load() < int64(least) {
				l.Errorf("%s was asked %d times", id, n.Load())
			}
			l.Logf("%s: asked %d times", id, n.Load())
		}
	}
}

// unclaimed are commands that claim nothing which is under way: one sends packets,
// the other is there to end what is.
var unclaimed = []string{"isolation", "abandon"}

// busy sends every command that changes something whenever an operation begins a
// step: each is refused. What it takes is taken from the write pause, too.
func (l *looked) busy() (sink api.Sink, refused *atomic.Int64) {
	refused = &atomic.Int64{}
	var said sync.Once
	sink = l.events.sink()
	tell := sink.Event
	sink.Event = func(e api.Event) {
		tell(e)
		if e.State != "begun" {
			return
		}
		for _, op := range api.Operations() {
			if op.Reads || slices.Contains(unclaimed, op.ID) {
				continue
			}
			if err := l.call(l.Context(), op); err == nil || api.AsFailure(err).Code != api.Busy {
				said.Do(func() { l.Errorf("%s beside an operation, at %s: %v", op.ID, e.Step, err) })
			}
			refused.Add(1)
		}
	}
	return sink, refused
}

// traces are what godwit has on both sides: objects, sessions that write, locks.
func (l *looked) traces() string {
	var all []string
	for _, side := range []*migratetest.Server{l.site.source, l.site.target} {
		all = append(all, migratetest.Text(l.T, side.Admin, `SELECT concat_ws(' ', 'objects',
			(SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'godwit'),
			(SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'godwit%'), (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_publication),
			(SELECT count(*) FROM pg_subscription), (SELECT count(*) FROM pg_replication_slots WHERE NOT temporary),
			'writers', (SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^godwit( |-probe)'),
			'locks', (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1735353463))`))
	}
	open, opened := l.site.relays()
	return fmt.Sprintf("%s; relays %d, opened %d times", strings.Join(all, "; "), open, opened)
}

// onlyLooked: hundreds of looks, and nothing else, leave everything as it is.
func (l *looked) onlyLooked(when string, least int) {
	l.Helper()
	before := l.traces()
	l.looking(least)()
	if after := l.traces(); after != before {
		l.Errorf("%s, before looking: %s\nafter it: %s", when, before, after)
	}
}

// TestLookingNeverTouches calls every route that only looks, from the API's own
// table, hundreds of times while a migration syncs, is verified, goes there and
// back six times and a release is rolled out; refused commands come at every
// step. Everything is done, and nothing was opened.
func TestLookingNeverTouches(t *testing.T) {
	t.Parallel()
	l := newLooked(t, 2_000)
	l.onlyLooked("nothing was begun", 50)
	for _, id := range []string{"migration-cutover", "migration-rollback", "migration-finish", "migration-verify"} {
		for _, op := range api.Operations() {
			if op.ID == id {
				l.fails(l.call(t.Context(), op), api.Usage)
			}
		}
	}
	if open, opened := l.site.relays(); open != 0 || opened != 0 {
		t.Errorf("%d relays are open and %d were opened, by whoever looked or was refused", open, opened)
	}
	stop := l.looking(200)
	sink, refused := l.busy()
	_, err := l.Sync(t.Context(), "datacenter", sink)
	l.ok(err)
	const cutovers = 6
	for n := range cutovers {
		l.switched("cutover", l.Cutover, sink)
		if n == 3 {
			v, err := l.Verify(t.Context(), "datacenter", sink)
			if l.ok(err); !v.Equal || v.Rows < 2_000 {
				t.Errorf("verify: %+v", v)
			}
		}
		if n == 4 {
			r, err := l.Deploy(t.Context(), api.DeployRequest{Service: "till", Environment: "production", Image: l.image("v2")}, sink)
			if l.ok(err); len(r) != 1 || r[0].Outcome != api.RolloutDone {
				t.Errorf("rollout: %+v", r)
			}
		}
		if n < cutovers-1 {
			l.switched("rollback", l.RollbackMigration, sink)
		}
	}
	stop()
	if refused.Load() < 100 {
		t.Errorf("only %d commands were refused meanwhile", refused.Load())
	}
	if said := l.log.String(); strings.Contains(said, "57P01") {
		t.Error("a session was ended (57P01), see the log")
	}
	if _, opened := l.site.relays(); opened != 1+cutovers+cutovers-1+1 { // sync, switches, verify
		t.Errorf("relays were opened %d times", opened)
	}
	l.onlyLooked("the way back is open", 50)
	_, err = l.Finish(t.Context(), "datacenter", api.LeaveRequest{}, l.events.sink())
	l.ok(err)
	if open, _ := l.site.relays(); open != 0 {
		t.Errorf("%d relays are open after finish", open)
	}
	l.onlyLooked("it is finished", 50)
}

// switched wants a switch that is done.
func (l *looked) switched(what string, turn func(context.Context, string, api.Sink) (api.SwitchReport, error), sink api.Sink) {
	l.Helper()
	r, err := turn(l.Context(), "datacenter", sink)
	l.ok(err)
	if r.Outcome != "done" || r.Findings.HasErrors() {
		l.Fatalf("%s beside those who look: %+v", what, r)
	}
}
