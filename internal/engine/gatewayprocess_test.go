package engine

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/gateway"
	"godwit/internal/site"
	"godwit/internal/watch"
)

// TestMain is also the other processes: the engine starts them by executing itself.
func TestMain(m *testing.M) {
	processes := map[string]func([]string) int{"engine": Main, "gateway": gateway.Main, "watch": watch.Main}
	if len(os.Args) > 1 && processes[os.Args[1]] != nil {
		os.Exit(processes[os.Args[1]](os.Args[2:]))
	}
	os.Exit(m.Run())
}

// pids of the gateways that were started, from their log.
func (b *bench) pids() []int {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "gateway.log"))
	b.ok(err)
	var pids []int
	for line := range strings.Lines(string(text)) {
		var r gateway.Ready
		if json.Unmarshal([]byte(line), &r) == nil && r.PID > 0 {
			pids = append(pids, r.PID)
		}
	}
	return pids
}

func (b *bench) eventually(what string, holds func() bool) {
	b.Helper()
	limit := time.After(15 * time.Second)
	for !holds() {
		select {
		case <-limit:
			b.Fatal("it never came that ", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// withoutGateway is a bench whose engine has to start its gateway itself.
func withoutGateway(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.ok(b.stopGateway(t.Context()))
	t.Cleanup(func() {
		if err := b.stopGateway(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	b.front.address = ln.Addr().String()
	b.ok(ln.Close())
	return b
}

// TestGatewayKilled: it is started again, and routes what it routed before; an
// engine that starts finds it.
func TestGatewayKilled(t *testing.T) {
	t.Parallel()
	b := withoutGateway(t)
	_, err := b.Up(t.Context(), api.UpRequest{Landscape: b.landscape(), Listen: b.front.address}, b.events.sink())
	b.ok(err)
	b.gets(host, "production/till 1")
	ctx, cancel := context.WithCancel(t.Context())
	var keeping sync.WaitGroup
	keeping.Go(func() { b.keepGateway(ctx) })
	defer keeping.Wait()
	defer cancel()
	first := b.pids()
	b.ok(syscall.Kill(first[0], syscall.SIGKILL))
	b.eventually("another gateway serves", func() bool { return b.gateway.Healthy(t.Context()) == nil && len(b.pids()) == 2 })
	b.gets(host, "production/till 1")

	cancel()
	keeping.Wait()
	b.ok(b.restart())
	if pids := b.pids(); len(pids) != 2 {
		t.Errorf("the next engine started one more: %v", pids)
	}
	_, err = b.Down(t.Context(), api.DownRequest{Approve: true}, b.events.sink())
	b.ok(err)
	b.ok(b.reopenGateway(t.Context())) // nobody wants one any more
	if b.gateway.Healthy(t.Context()) == nil || len(b.pids()) != 2 {
		t.Error("after down there is a gateway")
	}
}

// TestGatewayBeforeTheSite: after a restart of the machine clients are served,
// though the site cannot be opened: there may be no credentials yet.
func TestGatewayBeforeTheSite(t *testing.T) {
	t.Parallel()
	b := withoutGateway(t)
	_, err := b.Up(t.Context(), api.UpRequest{Landscape: b.landscape(), Listen: b.front.address}, b.events.sink())
	b.ok(err)
	b.ok(syscall.Kill(b.pids()[0], syscall.SIGKILL))
	b.ok(b.Engine.close())
	b.start()
	b.Engine.sites[defaultSite] = func(context.Context, *Engine, *world, api.Sink) (site.Site, error) {
		return nil, errors.New("there is no profile bistro")
	}
	if err := b.recover(t.Context()); err == nil {
		t.Fatal("no error")
	}
	b.gets(host, "production/till 1")
}

// TestAddressTaken: the first up says so, and the second may choose another.
func TestAddressTaken(t *testing.T) {
	t.Parallel()
	b := withoutGateway(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	defer ln.Close()
	_, err = b.Up(t.Context(), api.UpRequest{Landscape: b.landscape(), Listen: ln.Addr().String()}, b.events.sink())
	b.fails(err, api.Failed, ln.Addr().String(), "--listen")
	_, err = b.Up(t.Context(), api.UpRequest{Landscape: b.landscape(), Listen: b.front.address}, b.events.sink())
	b.ok(err)
	if status, _ := b.get(host); status != http.StatusOK {
		t.Errorf("the host answers %d", status)
	}
}
