package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// patience bounds what is waited for; nothing takes that long.
const patience = 10 * time.Second

// holding are connections that stay open, by name.
var holding sync.Map

// echoing is how many connections are being answered.
var echoing atomic.Int64

func holdHandlers() {
	http.HandleFunc("/echo", func(w http.ResponseWriter, _ *http.Request) { echo(w) })
	http.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		c, err := net.DialTimeout("tcp", r.URL.Query().Get("to"), patience)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprint(c, "GET /echo HTTP/1.1\r\nHost: echo\r\n\r\n")
		holding.Store(r.URL.Query().Get("name"), c)
	})
	// held says what the other end answers.
	http.HandleFunc("/held", func(w http.ResponseWriter, r *http.Request) {
		c := held(r)
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintln(c)
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			line = err.Error() + "\n"
		}
		fmt.Fprint(w, line[:len(line)-1])
	})
	// ended waits, without sending anything, for the end of the connection.
	http.HandleFunc("/ended", func(w http.ResponseWriter, r *http.Request) {
		c := held(r)
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
			fmt.Fprint(w, "still open")
			return
		}
		fmt.Fprint(w, "ended")
	})
	// served waits until so many connections are answered, and says how many are.
	http.HandleFunc("/served", func(w http.ResponseWriter, r *http.Request) {
		want, _ := strconv.ParseInt(r.URL.Query().Get("want"), 10, 64)
		for began := time.Now(); echoing.Load() != want && time.Since(began) < patience; time.Sleep(time.Millisecond) {
		}
		fmt.Fprint(w, echoing.Load())
	})
}

func held(r *http.Request) net.Conn {
	c, _ := holding.Load(r.URL.Query().Get("name"))
	return c.(net.Conn)
}

// echo answers each line with its name, on the plain connection.
func echo(w http.ResponseWriter) {
	c, in, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	echoing.Add(1)
	defer echoing.Add(-1)
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		fmt.Fprintln(c, os.Getenv("NAME")+" echoes")
	}
}
