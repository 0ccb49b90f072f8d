package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
)

func newUnixClient(socket string) *http.Client {
	var d net.Dialer
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", socket)
	}}}
}

func TestAdminRefusesAndChangesNothing(t *testing.T) {
	t.Parallel()
	r := serving(t, Pool{Endpoints: []Endpoint{{ID: "a", Address: "127.0.0.1:1", Release: 1}}})
	info, err := os.Stat(r.cfg.Admin)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("admin socket: %v %v", info.Mode(), err)
	}
	before := r.control.Table()
	ep := func(s string) string { return `{"endpoints":[` + s + `],"weights":{"1":1}}` }
	for name, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"unknown field":      {"PUT", "/pools/x", `{"endpoint":[]}`, 400},
		"not JSON":           {"PUT", "/pools/x", `pool`, 400},
		"empty":              {"PUT", "/pools/x", ``, 400},
		"null":               {"PUT", "/pools/x", `null`, 400},
		"array":              {"PUT", "/pools/x", `[]`, 400},
		"two objects":        {"PUT", "/pools/x", `{}{}`, 400},
		"too large":          {"PUT", "/pools/x", `{"endpoints":[` + strings.Repeat(" ", maxAdminBody) + `]}`, 400},
		"too deep":           {"PUT", "/pools/x", strings.Repeat(`{"a":`, 100_000), 400},
		"negative weight":    {"PUT", "/pools/x", `{"weights":{"1":-1}}`, 400},
		"weight not number":  {"PUT", "/pools/x", `{"weights":{"one":1}}`, 400},
		"no port":            {"PUT", "/pools/x", ep(`{"id":"a","address":"localhost"}`), 400},
		"port 0":             {"PUT", "/pools/x", ep(`{"id":"a","address":"localhost:0"}`), 400},
		"relative door":      {"PUT", "/pools/x", ep(`{"id":"a","address":"h:1","via":"door"}`), 400},
		"TLS and door":       {"PUT", "/pools/x", ep(`{"id":"a","address":"h:1","tls":"h.example","via":"/door"}`), 400},
		"TLS as address":     {"PUT", "/pools/x", ep(`{"id":"a","address":"h:1","tls":"10.0.0.1"}`), 400},
		"no id":              {"PUT", "/pools/x", ep(`{"address":"h:1"}`), 400},
		"doubled id":         {"PUT", "/pools/x", ep(`{"id":"a","address":"h:1"},{"id":"a","address":"h:2"}`), 400},
		"name with space":    {"PUT", "/pools/a%20b", `{}`, 400},
		"name idle":          {"PUT", "/pools/a/idle", `{}`, 400},
		"empty name":         {"PUT", "/pools/", `{}`, 400},
		"route to nothing":   {"PUT", "/routes", `{"a.example":"nothing"}`, 400},
		"route upper case":   {"PUT", "/routes", `{"A.example":"production/till"}`, 400},
		"one route bad":      {"PUT", "/routes", `{"a.example":"production/till","b.example":"nothing"}`, 400},
		"pool in use":        {"DELETE", "/pools/production/till", ``, 409},
		"hold without lease": {"PUT", "/holds/h", `{"hosts":["` + host + `"]}`, 400},
		"hold overflow":      {"PUT", "/holds/h", `{"hosts":["` + host + `"],"lease_ms":9223372036854775807}`, 400},
		"hold unrouted":      {"PUT", "/holds/h", `{"hosts":["x"],"lease_ms":1}`, 404},
		"no hold":            {"DELETE", "/holds/h", ``, 404},
		"no hold to drain":   {"GET", "/holds/h/drained", ``, 404},
		"no pool":            {"GET", "/pools/x", ``, 404},
		"no pool to idle":    {"GET", "/pools/x/idle?release=1", ``, 404},
		"idle of what":       {"GET", "/pools/production/till/idle", ``, 400},
		"no such call":       {"GET", "/nonsense", ``, 404},
		"POST pool":          {"POST", "/pools/x", `{}`, 404},
	} {
		status, body := adminCall(t, r.cfg.Admin, c.method, c.path, c.body)
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); status != c.status || err != nil || p.Error == "" {
			t.Errorf("%s: %d %s, want %d and a problem", name, status, body, c.status)
		}
	}
	if after := r.control.Table(); !reflect.DeepEqual(before, after) {
		t.Errorf("the table changed: %+v", after)
	}
}

func TestSameAgainChangesNothing(t *testing.T) {
	t.Parallel()
	r := serving(t, Pool{Endpoints: []Endpoint{{ID: "a", Address: "127.0.0.1:1", Release: 1}}})
	before := r.control.Table()
	r.pool("production/till", before.Pools["production/till"])
	r.route(host, "production/till")
	if after := r.control.Table(); after.Version != before.Version {
		t.Errorf("version %d became %d", before.Version, after.Version)
	}
}

// FuzzAdmin: no body makes the admin API panic or leaves a table that would not
// load again.
func FuzzAdmin(f *testing.F) {
	for _, s := range []string{
		`{"endpoints":[{"id":"a","address":"127.0.0.1:80","release":1}],"weights":{"1":100}}`,
		`{"a.example":"p"}`, `{"hosts":["a.example"],"lease_ms":1000}`, `{}`, `null`, `{"weights":{"-1":1}}`, "\xff", `{"a":{}}`,
	} {
		for call := range 3 {
			f.Add(call, s)
		}
	}
	cfg := testConfig(f)
	cfg = cfg.withDefaults()
	f.Fuzz(func(t *testing.T, call int, body string) {
		c := newControl(emptyTable(), cfg)
		defer c.stop()
		if _, err := c.SetPool("p", Pool{}); err != nil {
			t.Fatal(err)
		}
		c.SetRoutes(map[string]string{"a.example": "p"})
		h := (&admin{control: c, cfg: cfg, shutdown: func() {}}).handler()
		path := []string{"/pools/p", "/routes", "/holds/h"}[uint(call)%3]
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("PUT", path, strings.NewReader(body)))
		switch w.Code {
		case 200, 400, 404, 409:
		default:
			t.Fatalf("%s %q: %d %s", path, body, w.Code, w.Body)
		}
		saved, err := os.ReadFile(cfg.State)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseTable(saved); err != nil {
			t.Fatalf("%s %q left a table that does not load: %v", path, body, err)
		}
		io.Copy(io.Discard, w.Body)
	})
}
