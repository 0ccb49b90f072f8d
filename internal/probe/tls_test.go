package probe

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || r.Host != "till.bistro.example" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	o := Options{Probe: tills(), Target: server.URL, Host: "till.bistro.example", Rate: 100, Duration: 300 * time.Millisecond, RootCAs: trusted}
	if r := run(t, o); r.OK != 30 || r.Failed != 0 {
		t.Errorf("%+v", r)
	}
	o.RootCAs = x509.NewCertPool()
	if r := run(t, o); r.OK != 0 || r.Failed != 30 {
		t.Errorf("a server that nobody vouches for was believed: %+v", r)
	}
}
