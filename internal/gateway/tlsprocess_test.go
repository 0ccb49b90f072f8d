package gateway

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestAGatewayProcessTrustsTheSystemsAuthorities: those of the machine, or those
// in the file that SSL_CERT_FILE names; its endpoint is found by name, and it
// still speaks TLS to it after a kill.
func TestAGatewayProcessTrustsTheSystemsAuthorities(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	admin, state := filepath.Join(dir, "admin"), filepath.Join(dir, "table.json")
	authorities := "SSL_CERT_FILE=" + filepath.Join(dir, "authorities.pem")
	if err := os.WriteFile(filepath.Join(dir, "authorities.pem"), testAuthority().pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newTLSBackend(t, says("over TLS"))
	_, port, _ := net.SplitHostPort(b.Listener.Addr().String())
	for round, c := range []struct {
		env    []string
		status int
		body   string
	}{
		{[]string{authorities}, 200, "over TLS"},
		{[]string{authorities}, 200, "over TLS"},
		{nil, 502, "*"},
	} {
		p := startProcess(t, "127.0.0.1:0", admin, state, c.env...)
		if round == 0 {
			pool := fmt.Sprintf(`{"endpoints":[{"id":"a","address":"localhost:%s","tls":%q,"release":1}],"weights":{"1":1}}`, port, lbName)
			adminCall(t, admin, "PUT", "/pools/p", pool)
			adminCall(t, admin, "PUT", "/routes", `{"`+host+`":"p"}`)
		}
		client := newHTTPClient(p.Listen)
		req, _ := http.NewRequest("POST", "http://"+host, nil)
		fetch(client, req).want(t, c.status, c.body)
		client.CloseIdleConnections()
		p.Process.Signal(syscall.SIGKILL)
		p.Wait()
	}
}

// TestATableFromBeforeTLSIsRead: an endpoint without the field speaks plain HTTP.
func TestATableFromBeforeTLSIsRead(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("plain"))
	cfg := testConfig(t)
	cfg.Log = nil
	table := fmt.Sprintf(`{"version":3,"pools":{"p":{"endpoints":[{"id":"a","address":%q,"release":1}],"weights":{"1":1}}},"routes":{%q:{"pool":"p"}}}`,
		b.Listener.Addr().String(), host)
	if err := os.WriteFile(cfg.State, []byte(summed(table)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := startWith(t, cfg)
	r.do("GET", "/", "").want(t, 200, "plain")
}

// TestNamesOfCertificates: what can be one, as a user of the admin API is told.
func TestNamesOfCertificates(t *testing.T) {
	t.Parallel()
	r := serving(t, Pool{})
	long := "a123456789b123456789c123456789d123456789e123456789f123456789abc"
	for name, status := range map[string]int{
		"internal-till-123.eu-central-1.elb.amazonaws.com": 200, "localhost": 200, "1.example": 200, "xn--bcher-kva.example": 200, long + ".example": 200,
		"10.0.0.1": 400, "::1": 400, "*.example": 400, "lb.example.": 400, "lb.example:443": 400, "Lb.example": 400, ".": 400, "a..b": 400,
		"-a.example": 400, "a-.example": 400, "a_b.example": 400, "a b": 400, "bücher.example": 400, long + "d.example": 400,
		long + "." + long + "." + long + "." + long: 400, "https://lb.example": 400,
	} {
		body, _ := json.Marshal(one(Endpoint{ID: "a", Address: "internal-till-123.eu-central-1.elb.amazonaws.com:443", TLS: name, Release: 1}))
		if got, text := adminCall(t, r.cfg.Admin, "PUT", "/pools/production/till", string(body)); got != status {
			t.Errorf("%q: %d %s, want %d", name, got, text, status)
		}
	}
}
