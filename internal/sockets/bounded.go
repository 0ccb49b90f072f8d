//go:build unix

package sockets

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// ErrBusy: a user has as many requests under way as he may.
var ErrBusy = errors.New("this user has too many requests under way")

// Bounded is a listener for an HTTP server that no user can occupy. Of each user at
// most room connections may be without a whole request: one more takes the place of
// the oldest of his. And he may have at most room requests under way. Admit says when
// a request is whole. It watches the server's connections.
func Bounded(ln net.Listener, server *http.Server, room int) net.Listener {
	b := &bounded{Listener: ln, room: room, users: map[int]*visitor{}}
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, admitKey{}, func() (func(), error) { return b.admit(conn) })
	}
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew, http.StateIdle:
			b.waits(conn)
		case http.StateClosed, http.StateHijacked:
			b.spoke(conn)
		}
	}
	return b
}

type admitKey struct{}

// Admit is called by a handler once it has the whole request, and leave when it is
// answered. ErrBusy when there are too many. Of a server that is not bounded all are
// admitted.
func Admit(ctx context.Context) (leave func(), err error) {
	if admit, ok := ctx.Value(admitKey{}).(func() (func(), error)); ok {
		return admit()
	}
	return func() {}, nil
}

type bounded struct {
	net.Listener
	room   int
	silent sync.Map // of each connection without a whole request: what to call when it has one

	mu    sync.Mutex
	users map[int]*visitor
}

// visitor is what is known of a user who is connected, or was.
type visitor struct {
	crowd *Crowd
	busy  int // requests under way
}

func (b *bounded) user(conn net.Conn) *visitor {
	id := peer(conn)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.users[id] == nil {
		b.users[id] = &visitor{crowd: NewCrowd(b.room)}
	}
	return b.users[id]
}

func (b *bounded) waits(conn net.Conn) { b.silent.Store(conn, b.user(conn).crowd.Enter(conn)) }

func (b *bounded) spoke(conn net.Conn) {
	if spoke, ok := b.silent.LoadAndDelete(conn); ok {
		spoke.(func())()
	}
}

func (b *bounded) admit(conn net.Conn) (leave func(), err error) {
	user := b.user(conn)
	b.spoke(conn)
	b.mu.Lock()
	defer b.mu.Unlock()
	if user.busy >= b.room {
		return nil, ErrBusy
	}
	user.busy++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		user.busy--
	}, nil
}

// Accept fails only when the listener is closed. When descriptors run out, whoever
// has most that are silent gives one back.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err == nil || b.largest().Failed(err) {
			return conn, err
		}
	}
}

func (b *bounded) largest() *Crowd {
	b.mu.Lock()
	defer b.mu.Unlock()
	most := NewCrowd(b.room)
	for _, user := range b.users {
		if user.crowd.size() >= most.size() {
			most = user.crowd
		}
	}
	return most
}
