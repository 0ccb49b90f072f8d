package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"godwit/internal/gateway"
)

// TestADrainThatFailsNamesWhatItWaitedFor, with the path and without the query;
// the write it waited for is answered all the same.
func TestADrainThatFailsNamesWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, _, s := start(t)
	here, finish := make(chan struct{}), make(chan struct{})
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(here)
		<-finish
	}))
	defer b.Close()
	if err := errors.Join(c.SetPool(ctx, "p", pool(b.Listener.Addr().String())), c.SetRoutes(ctx, map[string]string{"till.example": "p"})); err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() {
		req, _ := http.NewRequest("POST", "http://"+s.Addr()+"/orders?card=4000", strings.NewReader("order"))
		req.Host = "till.example"
		status := 0
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			status = res.StatusCode
		}
		answered <- status
	}()
	<-here
	left, err := c.Settled(ctx, []string{"till.example"}, time.Millisecond)
	if err != nil || len(left) != 1 || left[0].State != gateway.Unanswered || left[0].Path != "/orders" || left[0].In != 5 {
		t.Errorf("settled: %+v %v", left, err)
	}
	if err := c.Hold(ctx, "h", gateway.HoldRequest{Hosts: []string{"till.example"}, LeaseMS: time.Minute.Milliseconds(), GraceMS: 1}); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	err = c.Drained(short, "h")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "POST till.example/orders (no answer yet, for ") ||
		!strings.Contains(err.Error(), "5 bytes in, 0 out") || strings.Contains(err.Error(), "4000") {
		t.Errorf("%v", err)
	}
	close(finish)
	if status := <-answered; status != 200 {
		t.Errorf("the write was answered with %d", status)
	}
	if err := c.Drained(ctx, "h"); err != nil {
		t.Error(err)
	}
	if held, err := c.Release(ctx, "h"); err != nil || len(held.EndedBy) != 0 || held.Recalled != 0 {
		t.Errorf("%+v %v", held, err)
	}
}
