package migratetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	local "godwit/internal/site/local/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// Authority is a CA that certifies servers.
type Authority struct {
	File string // its certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{File: filepath.Join(openDir(t), "ca.crt")}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = template, nil
	a.cert, a.key = a.sign(t, template)
	write(t, a.File, "CERTIFICATE", a.cert.Raw)
	return a
}

// sign makes a key and its certificate; the first one's is its own.
func (a *Authority) sign(t testing.TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.cert, a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// certify makes the key and the certificate of a server called name.
func (a *Authority) certify(t testing.TB, name string) (certificate, key []byte) {
	t.Helper()
	cert, private := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature})
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return cert.Raw, der
}

// TLS has a server speak TLS as name.
func (a *Authority) TLS(t testing.TB, name string) []postgrestest.Option {
	t.Helper()
	certificate, key := a.certify(t, name)
	dir := openDir(t)
	write(t, filepath.Join(dir, "server.crt"), "CERTIFICATE", certificate)
	write(t, filepath.Join(dir, "server.key"), "PRIVATE KEY", key)
	if os.Geteuid() == 0 { // who runs the server
		if err := os.Chown(filepath.Join(dir, "server.key"), local.DefaultID, local.DefaultID); err != nil {
			t.Fatal(err)
		}
	}
	return []postgrestest.Option{postgrestest.Config("ssl", "on"), postgrestest.Config("ssl_cert_file", filepath.Join(dir, "server.crt")),
		postgrestest.Config("ssl_key_file", filepath.Join(dir, "server.key"))}
}

// Named is a server's URL with the name in its certificate for a host, and more options.
func Named(t testing.TB, to, name, options string) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = "hostaddr=" + u.Hostname() + "&" + options
	u.Host = net.JoinHostPort(name, u.Port())
	return u.String()
}

func write(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	mode := os.FileMode(0o644)
	if kind == "PRIVATE KEY" {
		mode = 0o600
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		t.Fatal(err)
	}
}

// openDir is a directory that the server's id may enter.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "godwit-tls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Impostor answers in the place of a server, and asks everybody for their password.
type Impostor struct {
	Address string // host:port
	Port    uint16
	tls     *tls.Config // nil: it says that it speaks no TLS
	done    sync.WaitGroup

	mu        sync.Mutex
	asked     int
	passwords []string
}

// StartImpostor starts one; with an authority it has a certificate of it for name.
func StartImpostor(t testing.TB, a *Authority, name string) *Impostor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.ParseUint(port, 10, 16)
	i := &Impostor{Address: l.Addr().String(), Port: uint16(n)}
	if a != nil {
		certificate, der := a.certify(t, name)
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			t.Fatal(err)
		}
		i.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
	}
	i.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			i.done.Go(func() { i.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); i.done.Wait() })
	return i
}

// Told is how often somebody came, and which passwords they gave.
func (i *Impostor) Told() (asked int, passwords []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked, append([]string(nil), i.passwords...)
}

func (i *Impostor) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	i.mu.Lock()
	i.asked++
	i.mu.Unlock()
	for {
		backend := pgproto3.NewBackend(conn, conn)
		m, err := backend.ReceiveStartupMessage()
		if err != nil {
			return
		}
		if _, first := m.(*pgproto3.SSLRequest); !first {
			i.ask(backend)
			return
		}
		if i.tls == nil {
			conn.Write([]byte("N"))
			continue
		}
		conn.Write([]byte("S"))
		secure := tls.Server(conn, i.tls)
		if secure.Handshake() != nil {
			return
		}
		conn = secure
	}
}

func (i *Impostor) ask(backend *pgproto3.Backend) {
	backend.Send(&pgproto3.AuthenticationCleartextPassword{})
	if backend.Flush() != nil || backend.SetAuthType(pgproto3.AuthTypeCleartextPassword) != nil {
		return
	}
	m, err := backend.Receive()
	if given, ok := m.(*pgproto3.PasswordMessage); ok && err == nil {
		i.mu.Lock()
		i.passwords = append(i.passwords, given.Password)
		i.mu.Unlock()
	}
	backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "thank you"})
	backend.Flush()
}
