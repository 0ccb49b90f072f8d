package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkProxy measures this gateway and a tuned httputil.ReverseProxy in
// turns, in the same run, under the same load; ratio is the processor time of
// one request here against there, clients and instance taken off both by
// measuring them alone. Below 1 is cheaper.
func BenchmarkProxy(b *testing.B) {
	instance := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", 256))
	}))
	defer instance.Close()
	ours, peer := benchGateway(b, instance), benchPeer(b, instance)
	var spent [3]time.Duration // ours, peer, none
	const round = 500
	for b.Loop() {
		for i, addr := range []string{ours, peer, instance.Listener.Addr().String()} {
			spent[i] += load(b, addr, round)
		}
	}
	net := func(i int) float64 { return float64(spent[i]-spent[2]) / float64(b.N*round) }
	b.ReportMetric(net(0)/1000, "us-cpu/req")
	b.ReportMetric(net(1)/1000, "us-cpu/req-ReverseProxy")
	b.ReportMetric(net(0)/net(1), "ratio")
	b.ReportMetric(0, "ns/op")
}

func benchGateway(b *testing.B, instance *httptest.Server) string {
	cfg := testConfig(b)
	cfg.Log = nil
	s, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(b.Context()) }()
	b.Cleanup(func() { <-done })
	if _, err := s.control.SetPool("p", one(Endpoint{ID: "a", Address: instance.Listener.Addr().String(), Release: 1})); err != nil {
		b.Fatal(err)
	}
	if _, err := s.control.SetRoutes(map[string]string{host: "p"}); err != nil {
		b.Fatal(err)
	}
	return s.Addr()
}

func benchPeer(b *testing.B, instance *httptest.Server) string {
	target, err := url.Parse(instance.URL)
	if err != nil {
		b.Fatal(err)
	}
	peer := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true},
	})
	b.Cleanup(peer.Close)
	return peer.Listener.Addr().String()
}

// load sends n requests from each of 16 clients and returns the processor time
// this process took.
func load(b *testing.B, addr string, n int) time.Duration {
	client := newHTTPClient(addr)
	defer client.CloseIdleConnections()
	before := processorTime(b)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range n / 16 {
				req, _ := http.NewRequest("GET", "http://"+host+"/", nil)
				if got := fetch(client, req); got.err != nil || got.status != 200 {
					b.Errorf("%+v", got)
					return
				}
			}
		})
	}
	wg.Wait()
	return processorTime(b) - before
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
