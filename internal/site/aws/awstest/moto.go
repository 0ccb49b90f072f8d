package awstest

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Region and AccountID are those of moto.
const (
	Region    = "eu-central-1"
	AccountID = "123456789012"
)

// Moto is an emulator that listens on loopback, empty at first, for one test.
type Moto struct {
	URL string // http://127.0.0.1:port
}

var listening = regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`)

// StartMoto starts an emulator; it ends with the test.
func StartMoto(t testing.TB) Moto {
	t.Helper()
	cmd := exec.Command(Tool(t, "moto_server"), "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(os.Environ(), "MOTO_ACCOUNT_ID="+AccountID, "PYTHONUNBUFFERED=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(found)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-read
		_ = cmd.Wait()
	})
	select {
	case url, ok := <-found:
		if !ok {
			t.Fatal("moto_server ended before it listened")
		}
		return Moto{URL: url}
	case <-time.After(time.Minute):
		t.Fatal("moto_server did not listen within a minute")
	}
	return Moto{}
}

// Config is for clients of the emulator. What it fails at once it fails again, so
// only a connection that breaks is tried anew.
func (m Moto) Config(t testing.TB) aws.Config {
	t.Helper()
	c, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(Region), config.WithBaseEndpoint(m.URL),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		t.Fatal(err)
	}
	c.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
		})
	}
	return c
}

// Reset empties it.
func (m Moto) Reset(t testing.TB) {
	t.Helper()
	r, err := http.Post(m.URL+"/moto-api/reset", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
}
