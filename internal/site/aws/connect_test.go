package aws

import (
	"net"
	"net/http"
	"testing"
)

// TestAWSKeepsSilent: a connection that is cut without a word ends an attempt.
func TestAWSKeepsSilent(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "example")
	cfg, err := Connect(t.Context(), "eu-central-1", "http://"+net.JoinHostPort("127.0.0.1", "1"), Access{})
	if err != nil {
		t.Fatal(err)
	}
	client, ok := cfg.HTTPClient.(interface{ GetTransport() *http.Transport })
	if !ok || client.GetTransport().ResponseHeaderTimeout <= 0 {
		t.Errorf("%T waits for ever", cfg.HTTPClient)
	}
}
