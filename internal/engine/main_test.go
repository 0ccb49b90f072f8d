package engine

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"godwit/internal/api"
	"godwit/internal/api/client"
	"godwit/internal/sockets"
	"godwit/internal/watch"
)

// serving is the engine's API on its socket, as its process serves it.
func (b *bench) serving() (ctx context.Context, stop func(), ended <-chan error) {
	b.Helper()
	ln, err := b.Engine.listen()
	b.ok(err)
	ctx, stop = context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- b.Engine.serveAPI(ctx, ln, api.Handler(b.Engine, "test")) }()
	b.Cleanup(stop)
	return ctx, stop, result
}

func (b *bench) request(ctx context.Context, path, body string) *http.Response {
	b.Helper()
	h := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.Engine.watch.APISocket())
	}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine"+path, strings.NewReader(body))
	b.ok(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.Do(req)
	b.ok(err)
	b.Cleanup(func() { resp.Body.Close() })
	return resp
}

// until reads progress until a line has all these words.
func until(t *testing.T, resp *http.Response, words ...string) {
	t.Helper()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		all := true
		for _, w := range words {
			all = all && strings.Contains(lines.Text(), w)
		}
		if all {
			return
		}
	}
	t.Fatalf("%q was never said: %v", words, lines.Err())
}

// free waits until no operation is under way.
func (b *bench) free() {
	b.Helper()
	limit := time.After(10 * time.Second)
	for {
		right := &claim{name: "test"}
		err := b.claim(b.Context(), right)
		if err == nil {
			b.giveBack(right)
			return
		}
		select {
		case <-limit:
			b.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestClientGoes: a command that is ended in the middle of a rollout undoes it.
func TestClientGoes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.Engine.rollouts.Watch = time.Minute
	_, stop, ended := b.serving()
	ctx, gone := context.WithCancel(t.Context())
	resp := b.request(ctx, "/v1/deploy", `{"service":"till","environment":"production","image":"`+b.image("v2")+`"}`)
	until(t, resp, `"judge"`, `"begun"`)
	gone()
	b.free()
	b.serves("production", "till", 1)
	if h := b.history("production", "till"); len(h) != 2 || h[1] != "2 undone" {
		t.Errorf("history %q", h)
	}
	stop()
	b.ok(<-ended)
}

// TestEngineToldToEnd: what is under way is undone, and the engine ends.
func TestEngineToldToEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.Engine.rollouts.Watch = time.Minute
	_, stop, ended := b.serving()
	resp := b.request(t.Context(), "/v1/deploy", `{"service":"till","environment":"production","image":"`+b.image("v2")+`"}`)
	until(t, resp, `"judge"`, `"begun"`)
	stop()
	until(t, resp, `"undone"`, `"reason"`) // the client hears how it ended
	b.ok(<-ended)
	b.serves("production", "till", 1)
	if _, err := net.Dial("unix", b.Engine.watch.APISocket()); err == nil {
		t.Error("it still listens")
	}
}

// TestPatience: an engine that hangs is given up after a bounded time.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		hangs := make(chan struct{})
		time.AfterFunc(time.Hour, cancel)
		started := time.Now()
		err := within(ctx, exitTimeout, func() error { <-hangs; return nil })
		if took := time.Since(started); err == nil || took != time.Hour+exitTimeout {
			t.Errorf("%v after %v", err, took)
		}
		close(hangs)
		synctest.Wait()
		errOwn := errors.New("own")
		if err := within(t.Context(), exitTimeout, func() error { return errOwn }); err != errOwn {
			t.Error(err)
		}
	})
}

// TestServe is the process, as far as it goes without a site: it serves, refuses
// a second one, and down ends it.
func TestServe(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "en")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	log := slog.New(slog.DiscardHandler)
	w := watch.New(watch.At(dir), &sockets.Set{}, log)
	if err := w.Claim(t.Context(), watch.Engine, nil); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve(t.Context(), w, log) }()
	c := client.New(w.APISocket())
	for limit := time.Now().Add(10 * time.Second); ; {
		if _, err = c.Status(t.Context()); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
	if err := serve(t.Context(), w, log); err == nil {
		t.Error("two engines on one state directory")
	}
	if err := c.Down(t.Context(), api.DownRequest{}, client.Watch{}); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(w.APISocket()); err == nil {
		t.Error("the socket says that an engine should run")
	}
}

func TestSocketPath(t *testing.T) {
	t.Parallel()
	e := &Engine{watch: watch.New(watch.At("/"+strings.Repeat("x", longestSocket)), &sockets.Set{}, slog.New(slog.DiscardHandler))}
	if _, err := e.listen(); err == nil || !strings.Contains(err.Error(), "--state") {
		t.Error(err)
	}
}
