package chaos

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// slowClients are there all the time and never come to an end: POSTs that
// trickle, heads that stay half sent, connections that say nothing, and clients
// that ask for much and read little. Nobody's move may wait for them.
type slowClients struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

// dawdle is the pause between two bytes of a slow client.
const dawdle = 700 * time.Millisecond

func startSlow(gateway, host string, of int) *slowClients {
	ctx, stop := context.WithCancel(context.Background())
	s := &slowClients{stop: stop}
	post := fmt.Sprintf("POST /orders HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n", host)
	kinds := []struct{ at, drip string }{
		{post, " "},
		{fmt.Sprintf("GET /menu HTTP/1.1\r\nHost: %s\r\nX-Slow: ", host), "x"},
		{"", ""},
	}
	for range of {
		for _, k := range kinds {
			s.done.Go(func() { persist(ctx, gateway, func(c net.Conn) { trickle(ctx, c, k.at, k.drip) }) })
		}
		s.done.Go(func() { persist(ctx, gateway, func(c net.Conn) { gorge(ctx, c, host) }) })
	}
	return s
}

func (s *slowClients) end() {
	s.stop()
	s.done.Wait()
}

// persist comes again when it was sent away.
func persist(ctx context.Context, address string, dwell func(net.Conn)) {
	for ctx.Err() == nil {
		c, err := net.Dial("tcp", address)
		if err == nil {
			dwell(c)
			c.Close()
		}
		sleep(ctx, dawdle)
	}
}

// trickle says something, then a byte at a time for ever.
func trickle(ctx context.Context, c net.Conn, begin, drip string) {
	if _, err := c.Write([]byte(begin)); err != nil {
		return
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		c.Read(make([]byte, 4096)) // sent away
	}()
	defer func() { c.Close(); <-answered }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-answered:
			return
		case <-time.After(dawdle):
		}
		if _, err := c.Write([]byte(drip)); err != nil {
			return
		}
	}
}

// gorge asks again and again on one connection and reads a byte now and then.
func gorge(ctx context.Context, c net.Conn, host string) {
	request := fmt.Sprintf("GET /receipts/1?limit=100 HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	c.(*net.TCPConn).SetReadBuffer(4096)
	for range 50 {
		c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.Write([]byte(request)); err != nil {
			break
		}
	}
	for ctx.Err() == nil {
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
				return
			}
		}
		sleep(ctx, dawdle)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
