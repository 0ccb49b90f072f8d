package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"godwit/internal/api"
	"godwit/internal/plan"
)

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// changes of a plan, as "action kind name".
func changes(p plan.Plan) []string {
	var words []string
	for _, c := range p.Changes {
		words = append(words, strings.Join([]string{string(c.Action), string(c.Kind), c.Environment, c.Name}, " "))
	}
	return words
}

func TestUpMakesWhatIsDeclared(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p, err := b.Plan(t.Context(), b.landscape(), b.events.sink())
	b.ok(err)
	r := b.up()
	if !slices.Equal(changes(p), changes(r.Plan)) || len(p.Changes) != 12 {
		t.Errorf("planned %q, done %q", changes(p), changes(r.Plan))
	}
	for _, env := range []string{"test", "production"} {
		b.serves(env, "till", 1)
		b.serves(env, "menu", 1)
		if f := b.fleet(env, "till"); len(f.Instances) != 2 || !strings.Contains(f.Releases[0].Image, "sha256:") {
			t.Errorf("%+v", f)
		}
	}
	b.gets(host, "production/till 1")
	b.gets("test.menu.bistro.example", "test/menu 1")
	if len(r.Routes) != 4 || r.Gateway == "" {
		t.Errorf("%+v", r)
	}

	again := b.up()
	if !again.Plan.Empty() || again.Plan.Unchanged != 12 {
		t.Errorf("a second up changes %q", changes(again.Plan))
	}
	b.serves("production", "till", 1)
	if h := b.history("production", "till"); !slices.Equal(h, []string{"1 done"}) {
		t.Errorf("history %q", h)
	}
	s, err := b.Status(t.Context())
	b.ok(err)
	if s.Landscape != "bistro" || len(s.Environments) != 2 || !s.Gateway.Healthy || len(s.Unfinished) > 0 || s.Isolation != "none" {
		t.Errorf("%+v", s)
	}
	if !b.events.said("note", "NO ISOLATION") || !strings.Contains(b.log.String(), "NO ISOLATION") {
		t.Error("nobody says that there is no isolation")
	}
	b.concealed()
}

func TestUpRollsOutWhatChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.image("v2")
	for i, change := range []struct{ old, replacement, reason string }{
		{`service "till" {` + "\n" + `  image = "v1"`, `service "till" {` + "\n" + `  image = "v2"`, "its image changes"},
		{"env   = { ", `env   = { GREETING = "hi", `, "its env changes: +GREETING"},
		{"    min = 2", "    min = 3", "its instances change from 2 to 3"},
	} {
		b.edit(change.old, change.replacement)
		r := b.up()
		if want := []string{"update service production till", "update service test till"}; !slices.Equal(changes(r.Plan), want) {
			t.Errorf("%q, want %q", changes(r.Plan), want)
		}
		if r.Plan.Changes[0].Reason != change.reason {
			t.Errorf("because %q, want %q", r.Plan.Changes[0].Reason, change.reason)
		}
		b.serves("production", "till", i+2)
		b.serves("production", "menu", 1)
	}
	if n := len(b.fleet("test", "till").Instances); n != 3 {
		t.Errorf("%d instances", n)
	}
	b.gets(host, "production/till 4")
}

func TestUpWithValues(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.env = nil
	_, err := b.tryUp(false)
	b.fails(err, api.Usage, "CARD_TERMINAL", "service till")
	if _, err := b.current(); err == nil {
		t.Error("refused, and yet it is the world")
	}
	b.env = map[string]string{"CARD_TERMINAL": secret}
	b.up()
	live := b.fleet("production", "till").Releases[0]
	if v := live.Env["CARD_TERMINAL"]; v.String() != secret || live.Env["DATABASE_URL"].String() != "${database.till.url}" {
		t.Errorf("bound to %v", live.Env)
	}
	b.env = nil // no longer exported: as before
	if r := b.up(); !r.Plan.Empty() {
		t.Errorf("%q", changes(r.Plan))
	}
	b.concealed()
	b.env = map[string]string{"CARD_TERMINAL": "another-horse"}
	r := b.up()
	if len(r.Plan.Changes) != 2 || r.Plan.Changes[0].Reason != "its env changes: ~CARD_TERMINAL" {
		t.Errorf("%+v", r.Plan)
	}
	b.serves("test", "till", 2)
	s, err := b.Status(t.Context())
	b.ok(err)
	if text := marshal(t, s); strings.Contains(text, "another-horse") || !strings.Contains(text, "CARD_TERMINAL") || !strings.Contains(text, "${database.till.url}") {
		t.Errorf("status is to name variables and references, not values: %s", text)
	}
	if b.fleet("test", "till").Releases[0].Env["CARD_TERMINAL"].String() != "another-horse" {
		t.Error("concealing it has changed the release")
	}
}

// TestUpRefused: what is refused leaves everything as it was, the engine's own
// idea of the landscape included.
func TestUpRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	before := b.text
	for name, c := range map[string]struct {
		old, replacement string
		request          api.UpRequest
		words            []string
	}{
		"another landscape": {`landscape "bistro"`, `landscape "cafe"`, api.UpRequest{}, []string{`"bistro"`, `"cafe"`, "--state"}},
		"isolation":         {"", "", api.UpRequest{Isolation: "none"}, []string{"godwit down first"}},
		"listen":            {"", "", api.UpRequest{Listen: "127.0.0.1:1"}, []string{"cannot move", "godwit down first"}},
		"protected": {`network   = "10.30.0.0/16"`, `network   = "10.31.0.0/16"`, api.UpRequest{},
			[]string{"--approve", `replace environment "production"`, `replace database "till"`, "nothing was done"}},
		"protection and environment at once": {"environment \"production\" {\n  network   = \"10.30.0.0/16\"\n  protected = true\n}\n", "", api.UpRequest{},
			[]string{`remove environment "production"`, "--approve"}},
		"data of an unprotected environment": {`network = "10.10.0.0/16"`, `network = "10.11.0.0/16"`, api.UpRequest{},
			[]string{`replace database "till" in environment "test"`}},
		"a host of a protected environment": {"ingress \"menu\" {\n  host    = \"menu.bistro.example\"\n  service = service.menu\n}\n", "", api.UpRequest{},
			[]string{`remove ingress "menu" in environment "production"`}},
	} {
		b.text = strings.Replace(before, c.old, c.replacement, 1)
		if c.old != "" && b.text == before {
			t.Fatal(name, ": the landscape is not changed")
		}
		c.request.Landscape = b.landscape()
		_, err := b.Up(t.Context(), c.request, b.events.sink())
		b.fails(err, api.Refused, c.words...)
		w, err := b.current()
		b.ok(err)
		if l, _, _ := b.loadSettings(t.Context()); w.landscape.Name != "bistro" || len(w.landscape.Environments) != 2 || string(l.Landscape.Files[0].Bytes) != before {
			t.Errorf("%s: refused, and yet it is the engine's landscape now", name)
		}
		b.serves("production", "till", 1)
		b.gets("menu.bistro.example", "production/menu 1")
	}
	b.text = "nonsense {"
	_, err := b.tryUp(true)
	b.fails(err, api.Usage, "findings")
}

// TestProtectionStays: an environment is protected until an up that says
// otherwise is done, not only begun.
func TestProtectionStays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.edit("  protected = true\n", "")
	w, err := b.declare(t.Context(), api.UpRequest{Landscape: b.landscape()})
	b.ok(err)
	for _, c := range []struct {
		write func(context.Context, *world) error
		want  bool
	}{{b.rememberBefore, true}, {b.rememberAfter, false}} {
		b.ok(c.write(t.Context(), w))
		if m, err := b.remembered(t.Context(), "production"); err != nil || m.Protected != c.want {
			t.Errorf("%+v, %v; want protected %v", m, err, c.want)
		}
	}
}

func TestApprovedReplace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.edit(`network   = "10.30.0.0/16"`, `network   = "10.31.0.0/16"`)
	if _, err := b.tryUp(true); err != nil {
		t.Fatal(err)
	}
	b.serves("production", "till", 2)
	b.serves("test", "till", 1)
	b.gets(host, "production/till 2")
	if r := b.up(); !r.Plan.Empty() {
		t.Errorf("%q", changes(r.Plan))
	}
}

func TestOneOperationAtATime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	under, goOn := make(chan struct{}), make(chan struct{})
	b.events.tell = func(e api.Event) {
		if e.Step == "launch" && e.State == "begun" && e.Scope == "test/menu" {
			close(under)
			<-goOn
		}
	}
	first := make(chan error, 1)
	go func() { _, err := b.tryUp(false); first <- err }()
	<-under
	_, err := b.Up(t.Context(), api.UpRequest{Landscape: b.landscape()}, (&recorder{}).sink())
	b.fails(err, api.Busy, "up is under way")
	_, err = b.Down(t.Context(), api.DownRequest{Approve: true}, (&recorder{}).sink())
	b.fails(err, api.Busy)
	_, err = b.Cutover(t.Context(), "any", (&recorder{}).sink())
	b.fails(err, api.Busy)
	if _, err := b.Status(t.Context()); err != nil {
		t.Error("nobody can look meanwhile:", err)
	}
	close(goOn)
	b.ok(<-first)
	b.up()
}

// TestUpCancelled: the client goes in the middle; the next up goes on.
func TestUpCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.events.tell = func(e api.Event) {
		if e.Step == "launch" && e.State == "begun" {
			cancel()
		}
	}
	if _, err := b.Up(ctx, api.UpRequest{Landscape: b.landscape()}, b.events.sink()); err == nil {
		t.Fatal("it claims to be up")
	}
	unfinished, err := b.journal.Unfinished(t.Context())
	b.ok(err)
	if len(unfinished) > 0 {
		t.Errorf("left half-done: %+v", unfinished)
	}
	b.events.tell = nil
	b.up()
	b.gets(host, "production/till "+strings.Fields(b.history("production", "till")[len(b.history("production", "till"))-1])[0])
	if r := b.up(); !r.Plan.Empty() {
		t.Errorf("%q", changes(r.Plan))
	}
}

func TestRemovals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.load()
	b.removeBlock(`ingress "menu"`)
	b.removeBlock(`service "menu"`)
	b.removeBlock(`database "till"`)
	b.edit("env   = { DATABASE_URL = database.till.url, CARD_TERMINAL = env.CARD_TERMINAL }\n  needs = [database.till, service.menu]\n", "")
	p, err := b.Plan(t.Context(), b.landscape(), b.events.sink())
	b.ok(err)
	want := []string{"update service production till", "update service test till",
		"remove ingress production menu", "remove ingress test menu", "remove service production menu", "remove service test menu"}
	if !slices.Equal(changes(p), want) || len(p.Kept) != 2 {
		t.Fatalf("%q, kept %+v", changes(p), p.Kept)
	}
	if _, err := b.tryUp(false); err == nil {
		t.Fatal("a protected environment lost its menu without a word")
	}
	b.gets("menu.bistro.example", "production/menu 1")
	answered := make(chan string, 1)
	go func() {
		_, body, err := b.ask("menu.bistro.example", "/slow")
		answered <- fmt.Sprint(body, err)
	}()
	<-b.front.inFlight
	b.front.draining = func(pool string) {
		if pool == "production/menu" {
			close(b.front.goOn)
		}
	}
	_, err = b.tryUp(true)
	b.ok(err)
	if got := <-answered; got != "production/menu 1<nil>" {
		t.Errorf("the request in flight got %q", got)
	}
	for _, env := range []string{"production", "test"} {
		if f := b.fleet(env, "menu"); f != nil {
			t.Errorf("still there: %+v", f)
		}
		o, err := b.front.Observe(t.Context(), env)
		b.ok(err)
		if len(o.Databases) != 1 {
			t.Errorf("its database is gone with its data: %+v", o.Databases)
		}
	}
	if !b.events.said("note", "database till") {
		t.Error("nobody says that the database is kept")
	}
	if status, _ := b.get("menu.bistro.example"); status != http.StatusNotFound {
		t.Errorf("the host that is no longer declared answers %d", status)
	}
	table, err := b.gateway.Table(t.Context())
	b.ok(err)
	if len(table.Pools) != 2 || len(table.Routes) != 2 {
		t.Errorf("left in the gateway: %+v", table)
	}
	b.serves("production", "till", 2)
	if r := b.up(); !r.Plan.Empty() || len(r.Plan.Kept) != 2 {
		t.Errorf("%q", changes(r.Plan))
	}

	b.removeBlock(`environment "test"`)
	_, err = b.tryUp(false)
	b.fails(err, api.Refused, `remove database "till" in environment "test"`, "its data is lost")
	_, err = b.tryUp(true)
	b.ok(err)
	if _, err := b.front.Observe(t.Context(), "test"); !isNotFound(err) {
		t.Errorf("the environment is still there: %v", err)
	}
	if r := b.up(); !r.Plan.Empty() {
		t.Errorf("%q", changes(r.Plan))
	}
}

// TestIngressChangesHost: the old host is answered no more.
func TestIngressChangesHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.edit(`"menu.bistro.example"`, `"card.bistro.example"`)
	_, err := b.tryUp(true)
	b.ok(err)
	b.gets("card.bistro.example", "production/menu 1")
	if status, _ := b.get("menu.bistro.example"); status != http.StatusNotFound {
		t.Errorf("the old host answers %d", status)
	}
	if r := b.up(); !r.Plan.Empty() {
		t.Errorf("%q", changes(r.Plan))
	}
}

func TestDownForgets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	_, err := b.Down(t.Context(), api.DownRequest{}, b.events.sink())
	b.fails(err, api.Refused, `"production" is protected`, "--approve")
	b.serves("production", "till", 1)
	_, err = b.Down(t.Context(), api.DownRequest{Approve: true}, b.events.sink())
	b.ok(err)
	for _, env := range []string{"production", "test"} {
		if _, err := b.front.Observe(t.Context(), env); !isNotFound(err) {
			t.Errorf("%s is still there: %v", env, err)
		}
	}
	if b.quits != 1 || b.gateway.Healthy(t.Context()) == nil {
		t.Errorf("the engine quits %d times; gateway: %v", b.quits, b.gateway.Healthy(t.Context()))
	}
	for _, kind := range []string{documentEnvironment, documentMigration, documentSettings} {
		if names, err := b.store.List(t.Context(), kind); err != nil || len(names) > 0 {
			t.Errorf("kept %s %q, %v", kind, names, err)
		}
	}
	if _, err := b.current(); err == nil {
		t.Error("there is still a world")
	}
}
