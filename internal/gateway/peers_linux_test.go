package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPeers measures this gateway, nginx and HAProxy, each a process of its
// own with one endpoint and kept connections, in turns, in the same run, under
// the same load: processor time of the process per request, and how long a
// request takes. Peers that are not installed are left out.
func BenchmarkPeers(b *testing.B) {
	instance := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, strings.Repeat("x", 256))
	}))
	defer instance.Close()
	peers := []*peer{gatewayPeer(b, instance)}
	for name, start := range map[string]func(*testing.B, string, *httptest.Server) *peer{"nginx": nginxPeer, "haproxy": haproxyPeer} {
		if path, err := exec.LookPath(name); err == nil {
			peers = append(peers, start(b, path, instance))
		}
	}
	if len(peers) == 1 {
		b.Skip("neither nginx nor haproxy is installed")
	}
	const round = 2000
	for b.Loop() {
		for _, p := range peers {
			p.round(b, round)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, p := range peers {
		slices.Sort(p.took)
		per := float64(p.spent.Microseconds()) / float64(len(p.took))
		b.ReportMetric(per, "us-cpu/req-"+p.name)
		b.ReportMetric(float64(p.spent)/float64(len(p.took))/(float64(peers[0].spent)/float64(len(peers[0].took))), "cpu-ratio-"+p.name)
		b.ReportMetric(float64(p.took[len(p.took)/2].Microseconds()), "us-p50-"+p.name)
		b.ReportMetric(float64(p.took[len(p.took)*99/100].Microseconds()), "us-p99-"+p.name)
	}
}

// peer is a proxy as a process, and what it has been measured at.
type peer struct {
	name, addr string
	pid        int
	spent      time.Duration
	took       []time.Duration
}

// round sends n requests from 16 clients.
func (p *peer) round(b *testing.B, n int) {
	client := newHTTPClient(p.addr)
	defer client.CloseIdleConnections()
	before := p.processorTime(b)
	var mu sync.Mutex
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			var took []time.Duration
			for range n / 16 {
				req, _ := http.NewRequest("GET", "http://"+host+"/", nil)
				began := time.Now()
				if got := fetch(client, req); got.err != nil || got.status != 200 {
					b.Errorf("%s: %+v", p.name, got)
					return
				}
				took = append(took, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			p.took = append(p.took, took...)
		})
	}
	clients.Wait()
	p.spent += p.processorTime(b) - before
}

// processorTime is what the kernel has counted for the process, in ticks of 10 ms.
func (p *peer) processorTime(b *testing.B) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func gatewayPeer(b *testing.B, instance *httptest.Server) *peer {
	state := filepath.Join(testDir(b), "table.json")
	table := Table{
		Pools:  map[string]Pool{"p": one(Endpoint{ID: "a", Address: instance.Listener.Addr().String(), Release: 1})},
		Routes: map[string]Route{host: {Pool: "p"}},
	}
	if err := (stateFile{state}).save(table); err != nil {
		b.Fatal(err)
	}
	return runPeer(b, "godwit", "/proc/self/exe", "gateway", "--admin", filepath.Join(filepath.Dir(state), "admin"), "--state", state, "--listen")
}

func nginxPeer(b *testing.B, path string, instance *httptest.Server) *peer {
	dir, addr := testDir(b), freeAddr(b)
	conf := filepath.Join(dir, "nginx.conf")
	write(b, conf, fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log stderr error;
events { worker_connections 1024; }
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
 keepalive_requests 1000000;
 upstream up { server %[2]s; keepalive 512; keepalive_requests 1000000; }
 server { listen %[3]s; location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Proto http; } } }
`, dir, instance.Listener.Addr(), addr))
	p := runPeer(b, "nginx", path, "-p", dir, "-e", "stderr", "-c", conf)
	p.addr = addr
	return p.await(b)
}

func haproxyPeer(b *testing.B, path string, instance *httptest.Server) *peer {
	dir, addr := testDir(b), freeAddr(b)
	conf := filepath.Join(dir, "haproxy.cfg")
	write(b, conf, fmt.Sprintf(`global
 maxconn 2000
defaults
 mode http
 timeout connect 3s
 timeout client 60s
 timeout server 60s
 option forwardfor
frontend f
 bind %s
 default_backend up
backend up
 http-reuse always
 server a %s
`, addr, instance.Listener.Addr()))
	p := runPeer(b, "haproxy", path, "-db", "-f", conf)
	p.addr = addr
	return p.await(b)
}

// runPeer starts a process that ends with the benchmark. The gateway, whose
// arguments end in --listen, says itself where it listens.
func runPeer(b *testing.B, name, path string, args ...string) *peer {
	itself := args[len(args)-1] == "--listen"
	if itself {
		args = append(args, "127.0.0.1:0")
	}
	cmd := exec.Command(path, args...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Signal(syscall.SIGKILL); cmd.Wait() })
	p := &peer{name: name, pid: cmd.Process.Pid}
	if itself {
		var ready Ready
		if err := json.NewDecoder(out).Decode(&ready); err != nil {
			b.Fatal(err)
		}
		p.addr = ready.Listen
	}
	return p
}

func (p *peer) await(b *testing.B) *peer {
	until(b, p.name+" listens", func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

func freeAddr(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func write(b *testing.B, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}
