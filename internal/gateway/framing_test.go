package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWhatHasTwoMeaningsIsRefused: raw bytes, the answers, and what the instance
// received. After a refusal nothing more is read: what follows could be anything.
func TestWhatHasTwoMeaningsIsRefused(t *testing.T) {
	t.Parallel()
	const h = "Host: " + host + "\r\n"
	const next = "GET /smuggled HTTP/1.1\r\n" + h + "Connection: close\r\n\r\n"
	const post = "POST /a HTTP/1.1\r\n" + h
	const chunked = post + "Transfer-Encoding: chunked\r\n"
	for name, c := range map[string]struct {
		text string
		want []int
		got  []string
	}{
		"1.0, TE":                    {"POST /a HTTP/1.0\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", []int{400}, nil},
		"1.0, TE and CL":             {"POST /a HTTP/1.0\r\n" + h + "Connection: keep-alive\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc" + next, []int{400}, nil},
		"CL and TE":                  {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, []int{400}, nil},
		"TE and CL":                  {chunked + "Content-Length: 3\r\n\r\n0\r\n\r\n" + next, []int{400}, nil},
		"TE and CL in small":         {post + "transfer-encoding: Chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n" + next, []int{400}, nil},
		"CL twice":                   {post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" + next, []int{400}, nil},
		"CL twice the same":          {post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + next, []int{400}, nil},
		"CL list":                    {post + "Content-Length: 3, 3\r\n\r\nabc" + next, []int{400}, nil},
		"CL plus":                    {post + "Content-Length: +3\r\n\r\nabc" + next, []int{400}, nil},
		"CL minus":                   {post + "Content-Length: -1\r\n\r\n" + next, []int{400}, nil},
		"CL hexadecimal":             {post + "Content-Length: 0x3\r\n\r\nabc" + next, []int{400}, nil},
		"CL underscore":              {post + "Content-Length: 1_0\r\n\r\nabc" + next, []int{400}, nil},
		"CL empty":                   {post + "Content-Length:\r\n\r\n" + next, []int{400}, nil},
		"CL too large":               {post + "Content-Length: 18446744073709551619\r\n\r\nabc" + next, []int{400}, nil},
		"CL with form feed":          {post + "Content-Length: \f3\r\n\r\nabc" + next, []int{400}, nil},
		"TE twice":                   {chunked + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, []int{400}, nil},
		"TE doubled":                 {post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + next, []int{400}, nil},
		"TE not last":                {post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + next, []int{400}, nil},
		"TE identity":                {post + "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc" + next, []int{400}, nil},
		"TE quoted":                  {post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + next, []int{400}, nil},
		"TE vertical tab":            {post + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + next, []int{400}, nil},
		"TE of another kind":         {post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + next, []int{501}, nil},
		"space before the colon":     {post + "Content-Length : 3\r\n\r\nabc" + next, []int{400}, nil},
		"tab before the colon":       {post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + next, []int{400}, nil},
		"no colon":                   {post + "Content-Length\r\n\r\n" + next, []int{400}, nil},
		"empty name":                 {post + ": x\r\n\r\n" + next, []int{400}, nil},
		"folded":                     {post + "X: a\r\n Content-Length: 3\r\n\r\n" + next, []int{400}, nil},
		"folded first":               {"GET /a HTTP/1.1\r\n " + h + "\r\n", []int{400}, nil},
		"bare LF in a line":          {"GET /a HTTP/1.1\r\n" + h + "X: y\nContent-Length: 3\r\n\r\n" + next, []int{400}, nil},
		"bare LF head":               {"GET /a HTTP/1.1\nHost: " + host + "\n\n", []int{400}, nil},
		"bare LF at the end":         {"GET /a HTTP/1.1\r\n" + h + "\n", []int{400}, nil},
		"bare CR":                    {"GET /a HTTP/1.1\r\n" + h + "X: a\rContent-Length: 3\r\n\r\n" + next, []int{400}, nil},
		"NUL":                        {"GET /a HTTP/1.1\r\n" + h + "X: \x00\r\n\r\n" + next, []int{400}, nil},
		"no host":                    {"GET /a HTTP/1.1\r\n\r\n" + next, []int{400}, nil},
		"two hosts":                  {"GET /a HTTP/1.1\r\n" + h + h + "\r\n" + next, []int{400}, nil},
		"two hosts, 1.0":             {"GET /a HTTP/1.0\r\n" + h + h + "\r\n" + next, []int{400}, nil},
		"host with a name before it": {"GET /a HTTP/1.1\r\nHost: a@" + host + "\r\n\r\n" + next, []int{400}, nil},
		"host with a path":           {"GET /a HTTP/1.1\r\nHost: " + host + "/x\r\n\r\n" + next, []int{400}, nil},
		"two spaces":                 {"GET  /a HTTP/1.1\r\n" + h + "\r\n" + next, []int{400}, nil},
		"space in the target":        {"GET /a b HTTP/1.1\r\n" + h + "\r\n" + next, []int{400}, nil},
		"tab for a space":            {"GET\t/a HTTP/1.1\r\n" + h + "\r\n" + next, []int{400}, nil},
		"line before":                {"\r\nGET /a HTTP/1.1\r\n" + h + "\r\n" + next, []int{400}, nil},
		"small http":                 {"GET /a http/1.1\r\n" + h + "\r\n" + next, []int{400}, nil},
		"HTTP/1.2":                   {"GET /a HTTP/1.2\r\n" + h + "\r\n" + next, []int{505}, nil},
		"HTTP/2":                     {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{505}, nil},
		"HTTP/1.10":                  {"GET /a HTTP/1.10\r\n" + h + "\r\n" + next, []int{400}, nil},
		"Connection: content-length": {post + "Connection: keep-alive, Content-Length\r\nContent-Length: 3\r\n\r\nabc" + next, []int{400}, nil},
		"Connection: host":           {post + "Connection: host\r\n\r\n" + next, []int{400}, nil},
		"head too large":             {"GET /a HTTP/1.1\r\n" + h + "X: " + strings.Repeat("x", 70<<10) + "\r\n\r\n" + next, []int{431}, nil},
		"head without end":           {"GET /a HTTP/1.1\r\n" + h + "X: " + strings.Repeat("x", 70<<10), []int{431}, nil},
		"behind a good one":          {"GET /a HTTP/1.1\r\n" + h + "\r\n" + post + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + next, []int{200, 400}, []string{`GET /a ""`}},
		"behind a body":              {post + "Content-Length: 3\r\n\r\nabc" + post + "Content-Length: x\r\n\r\n" + next, []int{200, 400}, []string{`POST /a "abc"`}},

		"chunk size too large":       {chunked + "\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk size overflows":       {chunked + "\r\n10000000000000003\r\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk size signed":          {chunked + "\r\n+3\r\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk size with 0x":         {chunked + "\r\n0x3\r\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk size empty":           {chunked + "\r\n\r\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk size and space":       {chunked + "\r\n3 \r\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk line, bare LF":        {chunked + "\r\n3\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk extension, bare LF":   {chunked + "\r\n3;a\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk extension, bare CR":   {chunked + "\r\n3;a\rabc\r\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk extension, endless":   {chunked + "\r\n3;" + strings.Repeat("a", 2<<10) + "\r\nabc\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk longer than it says":  {chunked + "\r\n3\r\nabcd\r\n0\r\n\r\n" + next, []int{400}, nil},
		"chunk end, bare LF":         {chunked + "\r\n3\r\nabc\n0\r\n\r\n" + next, []int{400}, nil},
		"last chunk, bare LF":        {chunked + "\r\n3\r\nabc\r\n0\n\n" + next, []int{400}, nil},
		"trailer: content-length":    {chunked + "\r\n3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n" + next, []int{400}, nil},
		"trailer: transfer-encoding": {chunked + "\r\n3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" + next, []int{400}, nil},
		"trailer: host":              {chunked + "\r\n3\r\nabc\r\n0\r\nHost: other\r\n\r\n" + next, []int{400}, nil},
		"trailer: folded":            {chunked + "\r\n3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n" + next, []int{400}, nil},
		"trailer: bare LF":           {chunked + "\r\n3\r\nabc\r\n0\r\nX: a\n\r\n" + next, []int{400}, nil},

		"absolute form":       {"GET http://" + host + "/a HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", []int{200}, []string{`GET /a ""`}},
		"absolute, elsewhere": {"GET http://other/a HTTP/1.1\r\n" + h + "Connection: close\r\n\r\n", []int{404}, nil},
		"upgrade with a body": {post + "Connection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc", []int{200}, []string{`POST /a "abc"`}},
		"upgrade not made":    {"GET /a HTTP/1.1\r\n" + h + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + post + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + next, []int{200, 400}, []string{`GET /a ""`}},
		"chunk extensions":    {chunked + "Connection: close\r\n\r\n3;a=\"b\";c\r\nabc\r\n0;z\r\nX: y\r\n\r\n", []int{200}, []string{`POST /a "abc"`}},
		"two, one after the other": {post + "Content-Length: 3\r\n\r\nabc" + chunked + "\r\n2\r\nde\r\n0\r\n\r\nGET /b HTTP/1.1\r\n" + h + "Connection: close\r\n\r\n",
			[]int{200, 200, 200}, []string{`POST /a "abc"`, `POST /a "de"`, `GET /b ""`}},
	} {
		for _, pieces := range []int{0, 1} { // at once; byte by byte
			if pieces > 0 && len(c.text) > 4<<10 {
				continue
			}
			t.Run(fmt.Sprint(name, pieces), func(t *testing.T) {
				t.Parallel()
				b := newRecord(t)
				r := serving(t, one(b.Endpoint))
				conn, br := r.raw("")
				go send(conn, c.text, pieces)
				var got []int
				for {
					res, err := http.ReadResponse(br, nil)
					if err != nil {
						t.Log(err)
						break
					}
					io.Copy(io.Discard, res.Body)
					got = append(got, res.StatusCode)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("answers %v, want %v", got, c.want)
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				if !slices.Equal(b.whole, c.got) {
					t.Errorf("the instance got %q, want %q", b.whole, c.got)
				}
				if strings.Contains(b.bytes.String(), "smuggled") {
					t.Errorf("the instance was sent %q", b.bytes.String())
				}
			})
		}
	}
}

// send writes text, in pieces of that many bytes.
func send(c net.Conn, text string, pieces int) {
	if pieces == 0 {
		pieces = len(text)
	}
	for len(text) > 0 {
		n := min(pieces, len(text))
		if _, err := io.WriteString(c, text[:n]); err != nil {
			return
		}
		text = text[n:]
	}
}

// FuzzFraming: what passes is read by net/http as one request, with the length
// that we took it to have.
func FuzzFraming(f *testing.F) {
	f.Add("GET /a HTTP/1.1\r\nHost: h\r\n\r\n", 1)
	f.Add("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 5)
	f.Add("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nX: y\r\n\r\n", 3)
	f.Fuzz(func(t *testing.T, text string, pieces int) {
		frames := framer{maxHead: 64 << 10}
		var passed int
		for seen := 0; seen < len(text); {
			seen = min(len(text), seen+max(1, pieces%64))
			n, status := frames.feed([]byte(text[passed:seen]))
			if passed += n; status != 0 {
				return
			}
			if frames.state == atHead && passed > 0 {
				break
			}
		}
		if frames.state != atHead || passed == 0 {
			return
		}
		br := bufio.NewReader(strings.NewReader(text[:passed]))
		req, err := http.ReadRequest(br)
		if err != nil {
			return // net/http may be stricter
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if rest, _ := io.ReadAll(br); len(rest) != 0 {
			t.Errorf("net/http ends the request %d bytes earlier: %q", len(rest), text[:passed])
		}
	})
}

// TestARefusalIsAnsweredAtOnce, also when the body never comes; and the client
// that still sends gets to see it before the connection ends.
func TestARefusalIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	r := serving(t, one(newBackend(t, says("ok")).endpoint("a", 1)))
	r.pool("empty", Pool{})
	r.route("empty.example", "empty")
	for name, c := range map[string]struct {
		head string
		want int
		many bool
	}{
		"no such host":          {"POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 60000\r\n\r\n", 404, false},
		"no such host, chunked": {"POST / HTTP/1.1\r\nHost: nobody.example\r\nTransfer-Encoding: chunked\r\n\r\n", 404, false},
		"no such host, upload":  {"POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 900000\r\n\r\n", 404, true},
		"CONNECT":               {"CONNECT / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 60000\r\n\r\n", 405, false},
		"malformed":             {"POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1,2\r\n\r\n", 400, true},
		"no instance":           {"POST / HTTP/1.1\r\nHost: empty.example\r\nContent-Length: 900000\r\n\r\n", 503, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, br := r.raw(c.head)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				if c.many {
					io.WriteString(conn, strings.Repeat("x", 800_000))
				}
			}()
			res, err := http.ReadResponse(br, nil)
			if err != nil || res.StatusCode != c.want || !res.Close {
				t.Fatalf("%+v %v, want %d and the end of the connection", res, err, c.want)
			}
			if _, err := io.ReadAll(br); err != nil {
				t.Errorf("the connection does not end well: %v", err)
			}
			<-sent
		})
	}
}

// TestAClientThatHasFinishedSendingIsAnswered: it has not gone.
func TestAClientThatHasFinishedSendingIsAnswered(t *testing.T) {
	t.Parallel()
	there, finish := make(chan struct{}, 10), make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		there <- struct{}{}
		if met(t, finish) {
			fmt.Fprintf(w, "%s %d", r.Method, len(body))
		}
	})
	r := serving(t, one(b.endpoint("a", 1)))
	h := " / HTTP/1.1\r\nHost: " + host + "\r\n"
	var readers []*bufio.Reader
	var want []string
	for body, text := range map[string]string{
		"GET 0":      "GET" + h + "\r\n",
		"POST 3":     "POST" + h + "Content-Length: 3\r\n\r\nabc",
		"PUT 100000": "PUT" + h + "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000),
		"PATCH 2":    "PATCH" + h + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
	} {
		c, br := r.raw(text)
		c.(*net.TCPConn).CloseWrite()
		readers, want = append(readers, br), append(want, body)
	}
	for range want {
		<-there
	}
	r.hold("h", time.Minute) // more of them, at the gate
	c, br := r.raw("GET" + h + "\r\n")
	c.(*net.TCPConn).CloseWrite()
	until(t, "it waits", func() bool { return r.waiting("h") == 1 })
	close(finish)
	r.control.Release("h")
	for i, br := range append(readers, br) {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Errorf("not answered: %v", err)
			continue
		}
		if body, _ := io.ReadAll(res.Body); i < len(want) && string(body) != want[i] {
			t.Errorf("%q, want %q", body, want[i])
		}
	}
}

// TestAnAnswerThatFallsSilentDoesNotKeepAClientThatMayHaveGone.
func TestAnAnswerThatFallsSilentDoesNotKeepAClientThatMayHaveGone(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})
	r := serving(t, one(b.endpoint("a", 1)), func(c *Config) { c.Silence = 20 * time.Millisecond })
	c, br := r.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	if _, err := http.ReadResponse(br, nil); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	<-gone
	until(t, "nothing in flight", func() bool { return r.control.Stats().Hosts[host] == 0 })
}
