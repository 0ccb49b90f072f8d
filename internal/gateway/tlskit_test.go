package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// lbName is what the certificates of the tests' endpoints are for.
const lbName = "lb.example"

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// testAuthority is the one that the tests' gateways trust.
var testAuthority = sync.OnceValue(newAuthority)

func newAuthority() authority {
	a := authority{key: newKey()}
	a.cert = sign(certificate(func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = "test authority", true, true, x509.KeyUsageCertSign
	}), nil, a.key, a.key)
	return a
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func certificate(edit func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an endpoint"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	edit(c)
	return c
}

func sign(c, parent *x509.Certificate, of, by *ecdsa.PrivateKey) *x509.Certificate {
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, of.Public(), by)
	if err != nil {
		panic(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return signed
}

// issue makes a certificate for lbName, as edited.
func (a authority) issue(edit ...func(*x509.Certificate)) tls.Certificate {
	key := newKey()
	c := certificate(func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{lbName}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, e := range edit {
			e(c)
		}
	})
	return tls.Certificate{Certificate: [][]byte{sign(c, a.cert, key, a.key).Raw}, PrivateKey: key}
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// lbCertificate is what the tests' endpoints show.
var lbCertificate = sync.OnceValue(func() tls.Certificate { return testAuthority().issue() })

func serverTLS(edit ...func(*tls.Config)) *tls.Config {
	c := &tls.Config{Certificates: []tls.Certificate{lbCertificate()}}
	for _, e := range edit {
		e(c)
	}
	return c
}

// line is how a gateway talks to its instances.
type line struct{ tls bool }

// overBoth runs a test of what must be the same over plain HTTP and TLS.
func overBoth(t *testing.T, test func(*testing.T, line)) {
	t.Parallel()
	for name, l := range map[string]line{"plain": {}, "TLS": {tls: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}

func (l line) backend(t testing.TB, h http.HandlerFunc) *backend {
	if !l.tls {
		return newBackend(t, h)
	}
	return newTLSBackend(t, h)
}

func newTLSBackend(t testing.TB, h http.HandlerFunc, edit ...func(*tls.Config)) *backend {
	b := unstartedBackend(t, h)
	b.TLS = serverTLS(edit...)
	b.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of those who do not trust it
	b.StartTLS()
	return b
}

func (l line) raw(t testing.TB, handle func(net.Conn)) Endpoint {
	if !l.tls {
		return rawBackend(t, handle)
	}
	cfg := serverTLS()
	e := rawBackend(t, func(c net.Conn) {
		s := tls.Server(c, cfg)
		defer s.Close()
		if s.Handshake() == nil {
			handle(s)
		}
	})
	e.TLS = lbName
	return e
}

// socket is the TCP connection below c.
func socket(c net.Conn) *net.TCPConn {
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	return c.(*net.TCPConn)
}
