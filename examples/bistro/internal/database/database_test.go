package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Callers who come while the database is away don't all dial: one knocks for all.
func TestNoStormWhileAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var dials atomic.Int64
	var server sync.WaitGroup
	server.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			dials.Add(1)
			_ = conn.Close()
		}
	})
	d, err := Open(fmt.Sprintf("postgres://u@%s/d?sslmode=disable", l.Addr()), 4)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var callers sync.WaitGroup
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	n := 0
	for ctx.Err() == nil {
		n++
		callers.Go(func() {
			if err := d.Do(ctx, func(context.Context, *pgx.Conn) error { return nil }); !errors.Is(err, ErrAway) {
				t.Errorf("want ErrAway, have %v", err)
			}
		})
		<-tick.C
	}
	callers.Wait()
	d.Close()
	_ = l.Close()
	server.Wait()
	if got := dials.Load(); got < 3 || got > 40 {
		t.Errorf("%d callers dialled %d times", n, got)
	}
}

func TestOwnErrorsAreNotTriedAgain(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"57P01": true, "57P03": true, "53300": true, "25006": true, "08006": true, "28000": true, "40001": true, "40P01": true,
		"23505": false, "42P01": false, "42501": false, "28P01": false, "57014": false, "": false,
	} {
		if got := passing(fmt.Errorf("work: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("%q: passing is %v", code, got)
		}
	}
	if passing(errors.New("any")) || !passing(&unusable{errors.New("any")}) {
		t.Error("a lost session is passing, any other error is not")
	}
}

func TestUnusableURLIsNotShown(t *testing.T) {
	t.Parallel()
	_, err := Open("postgres://u:secret@host:port/d", 1)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestPauseGrowsAndIsBounded(t *testing.T) {
	t.Parallel()
	for misses, want := range map[int64]time.Duration{1: minPause, 2: 2 * minPause, 5: 16 * minPause, 6: maxPause, 1000: maxPause} {
		if got := pause(misses); got != want {
			t.Errorf("after %d misses %v, want %v", misses, got, want)
		}
	}
}
