package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"godwit/examples/bistro/internal/pgtest"
	"godwit/examples/bistro/schema"
)

// start builds and starts the program itself, and returns it with its address.
func start(t *testing.T, env ...string) (program *exec.Cmd, url string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "till")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X main.version=2", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program = exec.Command(binary)
	program.Env = append(os.Environ(), append(env, "LISTEN=127.0.0.1:0")...)
	log, err := program.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Process.Kill(); _ = program.Wait() })
	lines := bufio.NewReader(log)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, lines) // ends with the program
	return program, "http://" + decode[struct{ Address string }](t, line).Address
}

func TestDrain(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	menus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		_, _ = io.WriteString(w, testMenu)
	}))
	defer menus.Close()
	db := postgres.Database(t, schema.Till)
	program, url := start(t, "DATABASE_URL="+db.URL, "MENU_URL="+menus.URL)

	status := make(chan int)
	go func() {
		got, _ := send(url, "POST", "/orders", "key", `{"register": 1, "table": 1, "items": [{"sku": "tea", "qty": 1}]}`)
		status <- got
	}()
	<-asked // the order is in flight
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaitRefused(t, strings.TrimPrefix(url, "http://"))
	close(answer)
	if got := <-status; got != 201 {
		t.Errorf("the order in flight got status %d", got)
	}
	if err := program.Wait(); err != nil {
		t.Errorf("exit status: %v", err)
	}
	if n := db.Int(t, `SELECT count(*) FROM orders`); n != 1 {
		t.Errorf("%d orders", n)
	}
}

// awaitRefused waits until nobody listens any more.
func awaitRefused(t *testing.T, address string) {
	t.Helper()
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_ = conn.Close()
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("still listening after SIGTERM")
		}
	}
}

// Without a database and without a menu the program starts and says it is well,
// and serves as soon as both are there.
func TestStartsWithoutDatabase(t *testing.T) {
	t.Parallel()
	db := postgres.Database(t, schema.Till)
	db.Exec(t, `ALTER DATABASE {db} CONNECTION LIMIT 0`)
	menus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, testMenu) }))
	defer menus.Close()
	_, url := start(t, "DATABASE_URL="+db.URL, "MENU_URL="+menus.URL)
	if status, _ := send(url, "GET", "/healthz", "", ""); status != 200 {
		t.Errorf("healthz: status %d", status)
	}
	status := make(chan int)
	go func() {
		got, _ := send(url, "POST", "/payments", "key", `{"register": 1, "amount_cents": 5}`)
		status <- got
	}()
	db.Exec(t, `ALTER DATABASE {db} CONNECTION LIMIT -1`)
	if got := <-status; got != 201 {
		t.Errorf("payment: status %d", got)
	}
	if n := db.Int(t, pgtest.Invariant(t, "receipt_gaps")); n != 0 {
		t.Errorf("receipt_gaps: %d", n)
	}
}
