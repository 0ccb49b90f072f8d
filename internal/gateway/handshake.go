package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// maxSessions bounds the names whose last TLS session is kept, so that the next
// handshake with one of them costs less.
const maxSessions = 256

// newTLS is what all endpoints that speak TLS have in common. HTTP/1.1 is all we
// speak inside, so nothing else is offered.
func newTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(maxSessions),
	}
}

// connect dials an endpoint and, if it speaks TLS, makes sure that it is the one
// that is meant. Nothing of a request is sent before.
func (f *http1) connect(ctx context.Context, to Endpoint) (net.Conn, error) {
	nc, err := f.dial(ctx, to)
	if err != nil || to.TLS == "" {
		return nc, err
	}
	cfg := f.tls.Clone()
	cfg.ServerName = to.TLS
	s, err := secure(ctx, nc, cfg)
	if err != nil {
		return nil, handshakeError(to, err)
	}
	return s, nil
}

// handshakeFailure: somebody was connected to, and TLS could not be spoken.
type handshakeFailure struct{ error }

func (e handshakeFailure) Unwrap() error { return e.error }

func isHandshake(err error) bool {
	var failure handshakeFailure
	return errors.As(err, &failure)
}

func handshakeError(to Endpoint, err error) error {
	return handshakeFailure{fmt.Errorf("TLS with %s as %q: %w; %s", to.Address, to.TLS, err, handshakeMend(err))}
}

// handshakeMend is how to mend what a handshake failed of.
func handshakeMend(err error) string {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		header  tls.RecordHeaderError
		remote  *net.OpError
	)
	switch {
	case errors.As(err, &name):
		return "set the endpoint's tls to a name its certificate is for, or give it a certificate for this name"
	case errors.As(err, &unknown):
		return "add the authority that signed its certificate to this machine's, or to the file that SSL_CERT_FILE names, and start the gateway anew"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew its certificate, or set the clock of this machine right"
	case errors.As(err, &invalid):
		return "give it a certificate that is meant for servers"
	case errors.As(err, &header):
		return "what answers there does not speak TLS: take the port for HTTPS, or leave the endpoint's tls empty"
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert
		return "it refuses us: it must speak TLS 1.2 or newer and HTTP/1.1, and have a certificate for this name"
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer in time: see whether it is overloaded, and whether its port is the one for HTTPS"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "it closed the connection amid the handshake: its log may say why"
	}
	return "it must speak TLS 1.2 or newer and HTTP/1.1"
}
