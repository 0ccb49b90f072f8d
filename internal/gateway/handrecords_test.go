package gateway

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Types of TLS records, and of the one handshake message that is made by hand.
const (
	alertRecord      = 21
	handshakeRecord  = 22
	dataRecord       = 23
	newSessionTicket = 4
)

// handConn is the side of a server that writes TLS 1.3 records by hand, because
// crypto/tls writes no ticket after the handshake and no half record. Reading is
// as ever.
type handConn struct {
	*tls.Conn
	aead  cipher.AEAD
	nonce []byte
	count uint64
}

// handServer answers each TLS 1.3 connection with handle.
func handServer(t *testing.T, handle func(*handConn)) Endpoint {
	e := rawBackend(t, func(c net.Conn) {
		var keys bytes.Buffer
		s := tls.Server(c, serverTLS(func(cfg *tls.Config) {
			cfg.KeyLogWriter, cfg.SessionTicketsDisabled, cfg.MinVersion = &keys, true, tls.VersionTLS13
		}))
		defer s.Close()
		if s.Handshake() != nil {
			return
		}
		if suite := s.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
			t.Errorf("this test can write TLS_AES_128_GCM_SHA256 only, not %s", tls.CipherSuiteName(suite))
			return
		}
		handle(newHandConn(t, s, keys.String()))
	})
	e.TLS = lbName
	return e
}

func newHandConn(t *testing.T, s *tls.Conn, keyLog string) *handConn {
	var secret []byte
	for line := range strings.Lines(keyLog) {
		if f := strings.Fields(line); f[0] == "SERVER_TRAFFIC_SECRET_0" {
			secret, _ = hex.DecodeString(f[2])
		}
	}
	block, err := aes.NewCipher(expand(t, secret, "key", 16))
	if err != nil {
		t.Error(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Error(err)
	}
	return &handConn{Conn: s, aead: aead, nonce: expand(t, secret, "iv", 12)}
}

// expand is HKDF-Expand-Label of RFC 8446, 7.1.
func expand(t *testing.T, secret []byte, label string, length int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(append(info, byte(len(label))), label...)
	key, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), length)
	if err != nil {
		t.Error(err)
	}
	return key
}

// record is RFC 8446, 5.2.
func (c *handConn) record(kind byte, payload []byte) []byte {
	nonce := bytes.Clone(c.nonce)
	for i := range 8 {
		nonce[4+i] ^= byte(c.count >> (56 - 8*i))
	}
	c.count++
	inner := append(bytes.Clone(payload), kind)
	head := binary.BigEndian.AppendUint16([]byte{dataRecord, 3, 3}, uint16(len(inner)+c.aead.Overhead()))
	return c.aead.Seal(bytes.Clone(head), nonce, inner, head)
}

func (c *handConn) data(text string) []byte { return c.record(dataRecord, []byte(text)) }
func (c *handConn) closeNotify() []byte     { return c.record(alertRecord, []byte{1, 0}) }

// ticket is RFC 8446, 4.6.1.
func (c *handConn) ticket() []byte {
	body := binary.BigEndian.AppendUint32(nil, 3600)                                // lifetime
	body = append(binary.BigEndian.AppendUint32(body, 1), 1, 0)                     // age_add, nonce
	body = append(binary.BigEndian.AppendUint16(body, 100), make([]byte, 100+2)...) // ticket, no extensions
	return c.record(handshakeRecord, append([]byte{newSessionTicket, 0, 0, byte(len(body))}, body...))
}

// TestWhatComesBetweenRequestsOverTLS: a ticket costs nothing; what ends the
// connection, answers unasked or may do either keeps the next order off it. The
// TCP connection stays open in each case.
func TestWhatComesBetweenRequestsOverTLS(t *testing.T) {
	t.Parallel()
	const stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
	join := func(records ...[]byte) []byte { return bytes.Join(records, nil) }
	for name, c := range map[string]struct {
		with  func(c *handConn) []byte // comes together with an answer
		after func(c *handConn) []byte // comes when the connection lies idle
		kept  bool
	}{
		"nothing":                   {kept: true},
		"tickets":                   {after: func(c *handConn) []byte { return join(c.ticket(), c.ticket()) }, kept: true},
		"ticket with the answer":    {with: (*handConn).ticket, kept: true},
		"tickets, early and late":   {with: (*handConn).ticket, after: (*handConn).ticket, kept: true},
		"end":                       {after: (*handConn).closeNotify},
		"end with the answer":       {with: (*handConn).closeNotify},
		"ticket, then end":          {after: func(c *handConn) []byte { return join(c.ticket(), c.closeNotify()) }},
		"unasked answer":            {after: func(c *handConn) []byte { return c.data(stray) }},
		"ticket, unasked answer":    {after: func(c *handConn) []byte { return join(c.ticket(), c.data(stray)) }},
		"half an unasked answer":    {after: func(c *handConn) []byte { return c.data(stray)[:20] }},
		"ticket, two bytes of more": {after: func(c *handConn) []byte { return join(c.ticket(), c.data(stray)[:2]) }},
		"no TLS":                    {after: func(*handConn) []byte { return []byte(stray) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next, said, connections := make(chan struct{}), make(chan struct{}, 1), make(chan struct{}, 100)
			r := serving(t, one(handServer(t, func(hc *handConn) {
				connections <- struct{}{}
				br := bufio.NewReader(hc)
				for {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					order, _ := io.ReadAll(req.Body)
					out := hc.data(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(order), order))
					if c.with != nil {
						out = append(out, c.with(hc)...)
					}
					hc.NetConn().Write(out)
					if !met(t, next) {
						return
					}
					if c.after != nil {
						hc.NetConn().Write(c.after(hc))
					}
					said <- struct{}{}
				}
			})))
			const orders = 10
			for i := range orders {
				order := fmt.Sprintf("order %d", i)
				r.do("POST", "/", order).want(t, 200, order)
				r.settled(t) // the connection is back in its pool
				next <- struct{}{}
				<-said
			}
			if got, want := len(connections), map[bool]int{true: 1, false: orders}[c.kept]; got != want {
				t.Errorf("%d orders took %d connections, want %d", orders, got, want)
			}
		})
	}
}
