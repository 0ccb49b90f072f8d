package gateway

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRequestIsPassedOnAsItCame(t *testing.T) { overBoth(t, testRequestIsPassedOnAsItCame) }

func testRequestIsPassedOnAsItCame(t *testing.T, l line) {
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Saw", fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header["X-Twice"], " ", string(body)))
		w.Header().Set("Connection", "X-Secret")
		w.Header().Set("X-Secret", "hop")
		w.Header()["Content-Type"] = nil
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "short and stout")
	})
	r := serving(t, one(b.endpoint("a", 1)))
	req := r.request("PUT", "/a%2Fb//c?x=%20y&z", "the body")
	req.Header["X-Twice"] = []string{"1", "2"}
	got := fetch(r.client, req)
	got.want(t, http.StatusTeapot, "short and stout")
	if saw, want := got.header.Get("X-Saw"), "PUT /a%2Fb//c?x=%20y&z till.bistro.example [1 2] the body"; saw != want {
		t.Errorf("the instance saw %q, want %q", saw, want)
	}
	if got.header.Get("X-Secret") != "" {
		t.Error("a header that Connection names was passed on")
	}
	if ct, ok := got.header["Content-Type"]; ok {
		t.Errorf("a content type was invented: %q", ct)
	}
}

func TestWhatAClientSaysOfItselfIsNotTrusted(t *testing.T) {
	overBoth(t, testWhatAClientSaysOfItselfIsNotTrusted)
}

func testWhatAClientSaysOfItselfIsNotTrusted(t *testing.T, l line) {
	seen := make(chan http.Header, 1)
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) { seen <- r.Header })
	r := serving(t, one(b.endpoint("a", 1)))
	r.do("GET", "/", "", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil", "Forwarded", "for=6.6.6.6",
		"X-Real-Ip", "6.6.6.6", "X_forwarded_for", "6.6.6.6", "Proxy-Authorization", "secret", "Connection", "X-Mine", "X-Mine", "hop", "Te", "gzip").want(t, 200, "")
	h := <-seen
	if h.Get("X-Forwarded-For") != "127.0.0.1" || h.Get("X-Forwarded-Proto") != "http" || h.Get("X-Forwarded-Host") != host {
		t.Errorf("forwarded headers: %v", h)
	}
	for name := range h {
		if strings.Contains(h.Get(name), "6.6.6.6") {
			t.Errorf("%s: %s was passed on", name, h.Get(name))
		}
	}
	for _, name := range []string{"Proxy-Authorization", "X-Mine", "Connection", "Te"} {
		if h.Get(name) != "" {
			t.Errorf("%s was passed on", name)
		}
	}
}

func TestLargeBodiesStreamBothWays(t *testing.T) { overBoth(t, testLargeBodiesStreamBothWays) }

func testLargeBodiesStreamBothWays(t *testing.T, l line) {
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	})
	r := serving(t, one(b.endpoint("a", 1)))
	for _, size := range []int64{1, inlineBody, inlineBody + 1, replayBody, replayBody + 1, 20 << 20} {
		for _, chunked := range []bool{false, true} {
			for _, key := range []string{"", "k"} {
				sent, got := sha256.New(), sha256.New()
				req := r.request("POST", "/", "", "Idempotency-Key", key)
				req.Body = io.NopCloser(io.TeeReader(io.LimitReader(rand.Reader, size), sent))
				req.ContentLength = size
				if chunked {
					req.ContentLength = -1
				}
				if key == "" {
					req.Header.Del("Idempotency-Key")
				}
				res, err := r.client.Do(req)
				if err != nil {
					t.Fatalf("%d bytes, chunked %t, key %q: %v", size, chunked, key, err)
				}
				n, err := io.Copy(got, res.Body)
				res.Body.Close()
				if err != nil || n != size || string(got.Sum(nil)) != string(sent.Sum(nil)) {
					t.Fatalf("%d bytes, chunked %t, key %q: %d came back, err %v, or their hash differs", size, chunked, key, n, err)
				}
			}
		}
	}
}

func TestStreamIsPassedOnAtOnce(t *testing.T) { overBoth(t, testStreamIsPassedOnAtOnce) }

func testStreamIsPassedOnAtOnce(t *testing.T, l line) {
	next := make(chan struct{})
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "event %d\n", i)
			w.(http.Flusher).Flush()
			met(t, next)
		}
	})
	r := serving(t, one(b.endpoint("a", 1)))
	res, err := r.client.Do(r.request("GET", "/", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 3 { // each line is only followed by the next once it was seen
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("event %d\n", i) {
			t.Fatalf("line %d: %q, %v", i, line, err)
		}
		next <- struct{}{}
	}
}

func TestTrailersBothWays(t *testing.T) { overBoth(t, testTrailersBothWays) }

func testTrailersBothWays(t *testing.T, l line) {
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "of "+r.Trailer.Get("X-Up"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "unannounced")
	})
	r := serving(t, one(b.endpoint("a", 1)))
	for _, key := range []string{"", "k"} { // streamed and kept
		req := r.request("POST", "/", "x", "Idempotency-Key", key)
		if key == "" {
			req.Header.Del("Idempotency-Key")
		}
		req.ContentLength = -1
		req.Trailer = http.Header{"X-Up": {"upload"}}
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.Trailer.Get("X-Sum") != "of upload" || res.Trailer.Get("X-Late") != "unannounced" {
			t.Errorf("key %q: trailers %v", key, res.Trailer)
		}
	}
}

func TestExpectContinue(t *testing.T) { overBoth(t, testExpectContinue) }

func testExpectContinue(t *testing.T, l line) {
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", http.StatusExpectationFailed)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	r := serving(t, one(b.endpoint("a", 1)))
	c, br := r.raw("POST /yes HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
	if line, _ := textproto.NewReader(br).ReadLine(); line != "HTTP/1.1 100 Continue" {
		t.Fatalf("got %q", line)
	}
	br.ReadString('\n')
	io.WriteString(c, "abc")
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); string(body) != "3" {
		t.Fatalf("got %q", body)
	}
	_, br = r.raw("POST /no HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
	if line, _ := textproto.NewReader(br).ReadLine(); line != "HTTP/1.1 417 Expectation Failed" {
		t.Fatalf("the refusal did not come before the body: %q", line)
	}
}

func TestInformationalResponsesReachTheClient(t *testing.T) {
	overBoth(t, testInformationalResponsesReachTheClient)
}

func testInformationalResponsesReachTheClient(t *testing.T, l line) {
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "ok")
	})
	r := serving(t, one(b.endpoint("a", 1)))
	req := r.request("GET", "/", "")
	hints := ""
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error { hints = fmt.Sprint(code, h.Get("Link")); return nil },
	}))
	fetch(r.client, req).want(t, 200, "ok")
	if hints != "103 </style.css>" && hints != "103</style.css>" {
		t.Errorf("early hints: %q", hints)
	}
}

func TestHTTP10Client(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "part")
		w.(http.Flusher).Flush() // chunked upstream
		io.WriteString(w, "two")
	})
	r := serving(t, one(b.endpoint("a", 1)))
	_, br := r.raw("GET / HTTP/1.0\r\nHost: " + host + "\r\n\r\n")
	all, err := io.ReadAll(br)
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.0 200") || !strings.HasSuffix(string(all), "\r\n\r\nparttwo") || strings.Contains(string(all), "chunked") {
		t.Fatalf("%v: %q", err, all)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "12345") })
	r := serving(t, one(b.endpoint("a", 1)))
	for range 3 { // on the same connection: a body that is not there must not be waited for
		got := r.do("HEAD", "/", "")
		got.want(t, 200, "")
		if got.header.Get("Content-Length") != "12345" {
			t.Errorf("headers %v", got.header)
		}
	}
}

func TestUnknownHostAndEmptyPool(t *testing.T) {
	t.Parallel()
	r := serving(t, Pool{}, func(c *Config) { c.EndpointWait = 20 * time.Millisecond })
	req := r.request("GET", "/", "")
	req.Host = "nobody.example"
	fetch(r.client, req).want(t, 404, "no such host here\n")
	got := r.do("GET", "/", "")
	got.want(t, 503, "no instance is ready\n")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b := newBackend(t, says("host"))
	r.pool("production/till", one(b.endpoint("a", 1)))
	for _, h := range []string{"TILL.bistro.example", host + ":8080", host + "."} {
		req.Host = h
		fetch(r.client, req).want(t, 200, "host")
	}
}

func TestRequestWaitsAShortWhileForAnEndpoint(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("late"))
	r := serving(t, Pool{}, func(c *Config) { c.EndpointWait = 10 * time.Second })
	got := make(chan result, 1)
	go func() { got <- r.do("POST", "/", "x") }()
	until(t, "the request waits", func() bool { return r.control.Stats().Waiting == 1 })
	r.pool("production/till", one(b.endpoint("a", 1)))
	(<-got).want(t, 200, "late")
}

func TestUpgrade(t *testing.T) { overBoth(t, testUpgrade) }

func testUpgrade(t *testing.T, l line) {
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		c, rw, _ := w.(http.Hijacker).Hijack()
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Extra: 1\r\n\r\nhello ")
		io.Copy(c, rw)
		io.WriteString(c, " bye")
	})
	r := serving(t, one(b.endpoint("a", 1)))
	c, br := r.raw("GET /ws HTTP/1.1\r\nHost: " + host + "\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\nearly")
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "echo" || res.Header.Get("X-Extra") != "1" {
		t.Fatalf("%v %+v", err, res)
	}
	until(t, "the tunnel is in flight", func() bool { return r.control.Stats().Hosts[host] == 1 })
	io.WriteString(c, " late")
	c.(*net.TCPConn).CloseWrite() // half closed: the other half goes on
	all, err := io.ReadAll(br)
	if err != nil || string(all) != "hello early late bye" {
		t.Fatalf("%v: %q", err, all)
	}
	until(t, "the tunnel has ended", func() bool { return r.control.Stats().Hosts[host] == 0 })
}

func TestDepartedClientEndsItsRequestUpstream(t *testing.T) {
	overBoth(t, testDepartedClientEndsItsRequestUpstream)
}

func testDepartedClientEndsItsRequestUpstream(t *testing.T, l line) {
	began, gone := make(chan struct{}), make(chan struct{})
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(began)
		<-r.Context().Done()
		close(gone)
	})
	r := serving(t, one(b.endpoint("a", 1)))
	c, _ := r.raw("POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 2\r\n\r\nhi")
	<-began
	reset(c)
	<-gone
	until(t, "nothing in flight", func() bool { return r.control.Stats().Hosts[host] == 0 })
	if e := r.traffic(1).Errors; e != 0 {
		t.Errorf("a client that left was counted as %d errors of the release", e)
	}
}

func TestEndpointKilledMidStream(t *testing.T) { overBoth(t, testEndpointKilledMidStream) }

func testEndpointKilledMidStream(t *testing.T, l line) {
	for name, head := range map[string]string{
		"known length": "Content-Length: 100\r\n\r\nhalf",
		"chunked":      "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serving(t, one(l.raw(t, func(c net.Conn) {
				http.ReadRequest(bufio.NewReader(c))
				io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head)
			})))
			got := r.do("GET", "/", "")
			if got.err == nil {
				t.Fatalf("a cut response looks whole: %q", got.body)
			}
			until(t, "counted", func() bool { return r.traffic(1).Errors == 1 })
		})
	}
}

// TestEarlyAnswerToAnUploadThatGoesOn: both ends go on, the instance reading
// and the client sending, while the gateway already ends the exchange.
func TestEarlyAnswerToAnUploadThatGoesOn(t *testing.T) {
	overBoth(t, testEarlyAnswerToAnUploadThatGoesOn)
}

func testEarlyAnswerToAnUploadThatGoesOn(t *testing.T, l line) {
	r := serving(t, one(l.raw(t, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		io.Copy(io.Discard, c)
	})))
	c, br := r.raw("POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 100000000\r\n\r\nbegin")
	uploaded := make(chan struct{})
	defer func() { c.Close(); <-uploaded }()
	go func() {
		defer close(uploaded)
		for range 100_000_000 - len("begin") {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
		}
	}()
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 413 {
		t.Fatalf("%v %v", err, res)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "big" {
		t.Fatalf("%q %v", body, err)
	}
	until(t, "nothing in flight", func() bool { return r.control.Stats().Hosts[host] == 0 })
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 32<<20)
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/big" {
			io.WriteString(w, big)
		}
	})
	r := serving(t, one(b.endpoint("a", 1)), func(c *Config) {
		c.ReadHeaderTimeout, c.BodyIdleTimeout, c.WriteIdleTimeout = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	})
	t.Run("head", func(t *testing.T) {
		_, br := r.raw("GET / HTTP/1.1\r\nHost: till")
		if all, err := io.ReadAll(br); err != nil && !errors.Is(err, io.EOF) || strings.Contains(string(all), " 200 ") {
			t.Fatalf("%q %v", all, err)
		}
	})
	for name, length := range map[string]int{"small body": 10, "large body": 10 << 20} {
		t.Run(name, func(t *testing.T) {
			_, br := r.raw(fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\nabc", host, length))
			res, err := http.ReadResponse(br, nil)
			if err != nil || res.StatusCode != http.StatusRequestTimeout {
				t.Fatalf("%v %v", res, err)
			}
		})
	}
	t.Run("reader", func(t *testing.T) {
		r.raw("GET /big HTTP/1.1\r\nHost: " + host + "\r\n\r\n") // reads nothing
		until(t, "it is in", func() bool { return r.control.Stats().Hosts[host] == 1 })
		until(t, "it was given up", func() bool { return r.control.Stats().Hosts[host] == 0 })
	})
	if r.traffic(1).Errors != 0 {
		t.Errorf("slow clients were counted as %d errors of the release", r.traffic(1).Errors)
	}
}

// TestADeadlineOfOneRequestDoesNotHitTheNext: both kinds of deadline are set
// for a first request; the second one on the connection comes after them.
func TestADeadlineOfOneRequestDoesNotHitTheNext(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/slow" {
			met(t, slow)
		}
		io.WriteString(w, strings.Repeat("x", 100<<10))
	})
	const idle = 300 * time.Millisecond
	r := serving(t, one(b.endpoint("a", 1)), func(c *Config) { c.BodyIdleTimeout, c.WriteIdleTimeout = idle, idle })
	c, br := r.raw("")
	for i, path := range []string{"/", "/slow"} {
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1\r\n\r\nx", path, host)
		if i == 1 {
			timer := time.AfterFunc(3*idle, func() { close(slow) })
			defer timer.Stop()
		}
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if n, err := io.Copy(io.Discard, res.Body); err != nil || n != 100<<10 || res.StatusCode != 200 {
			t.Fatalf("request %d: %d bytes, status %d, %v", i, n, res.StatusCode, err)
		}
	}
}

func TestManyRequestsOverFewConnections(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	})
	other := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	})
	r := serving(t, one(b.endpoint("a", 1), other.endpoint("b", 1)))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 100 {
				path, body := fmt.Sprintf("/%d/%d", i, j), fmt.Sprintf("body %d %d", i, j)
				if got := r.do("POST", path, body); got.err != nil || got.body != path+" "+body {
					t.Errorf("%s: %+v", path, got)
					return
				}
			}
		})
	}
	wg.Wait()
	if total := r.traffic(1); total.Requests != 1600 || total.Errors != 0 {
		t.Errorf("traffic %+v", total)
	}
	if b.hits.Load() < 400 || other.hits.Load() < 400 {
		t.Errorf("unbalanced: %d and %d", b.hits.Load(), other.hits.Load())
	}
}
