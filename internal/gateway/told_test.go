package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestLogRepeatsNoInstance: whatever an instance sends in place of an answer is not
// in the gateway's log, which says that something is wrong with it.
func TestLogRepeatsNoInstance(t *testing.T) {
	t.Parallel()
	const secret = "postgres://till:hunter2@db"
	for name, answer := range map[string]string{
		"no HTTP": secret + "\r\n\r\n", "status": "HTTP/1.1 " + secret + "\r\n\r\n", "header": "HTTP/1.1 200 OK\r\n" + secret[8:] + "\r\n\r\n",
		"length": "HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n", "encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n",
		"lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " + secret + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logged
			r := start(t, log.take)
			r.pool("till", one(rawBackend(t, func(c net.Conn) {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, answer)
			})))
			r.route(host, "till")
			got := r.do("POST", "/", "x") // once
			if text := log.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "endpoint=") {
				t.Errorf("%+v, and the log: %s", got, text)
			}
		})
	}
}
