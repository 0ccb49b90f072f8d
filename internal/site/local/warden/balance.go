//go:build linux

package warden

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"godwit/internal/site/local/network"
)

// balancer stands in for the router where there is no isolation: it listens at
// the virtual addresses and copies bytes to their endpoints in turn. It denies
// nothing.
type balancer struct {
	mu     sync.Mutex
	shared map[netip.AddrPort]*balanced
}

type balanced struct {
	ln     net.Listener
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu        sync.Mutex
	endpoints []netip.AddrPort
	next      int
}

func newBalancer() *balancer { return &balancer{shared: map[netip.AddrPort]*balanced{}} }

func (b *balancer) Connect(int, netip.Addr) error { return nil }
func (b *balancer) Open(netip.Addr) error         { return nil }
func (b *balancer) Disconnect(netip.Addr) error   { return nil }
func (b *balancer) Close() error                  { return b.Apply(network.Rules{}) }
func (b *balancer) Apply(rules network.Rules) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	wanted := map[netip.AddrPort]bool{}
	var errs []error
	for _, v := range rules.Virtuals {
		wanted[v.Address] = true
		if b.shared[v.Address] == nil {
			s, err := listen(v.Address)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			b.shared[v.Address] = s
		}
		b.shared[v.Address].point(v.Endpoints)
	}
	for a, s := range b.shared {
		if !wanted[a] {
			s.close()
			delete(b.shared, a)
		}
	}
	return errors.Join(errs...)
}

func listen(at netip.AddrPort) (*balanced, error) {
	ln, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("virtual address: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &balanced{ln: ln, cancel: cancel}
	s.done.Go(func() {
		for {
			c, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				s.done.Go(func() { s.serve(ctx, c.(*net.TCPConn)) })
			}
		}
	})
	return s, nil
}

func (s *balanced) close() {
	s.ln.Close()
	s.cancel()
	s.done.Wait()
}

func (s *balanced) point(to []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = to
}

func (s *balanced) pick() (netip.AddrPort, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.endpoints) == 0 {
		return netip.AddrPort{}, false
	}
	s.next = (s.next + 1) % len(s.endpoints)
	return s.endpoints[s.next], true
}

func (s *balanced) serve(ctx context.Context, c *net.TCPConn) {
	defer c.Close()
	to, ok := s.pick()
	if !ok {
		return
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return
	}
	up := conn.(*net.TCPConn)
	defer up.Close()
	stop := context.AfterFunc(ctx, func() { c.Close(); up.Close() })
	defer stop()
	var back sync.WaitGroup
	back.Go(func() { io.Copy(c, up); c.CloseWrite() })
	io.Copy(up, c)
	up.CloseWrite()
	back.Wait()
}
