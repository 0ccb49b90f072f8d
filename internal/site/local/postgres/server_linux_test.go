package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/testtool"
)

// parentDir makes this test binary a process that starts a server there and waits.
const parentDir = "GODWIT_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentDir); dir != "" {
		beParent(dir)
	}
	if dir := os.Getenv(killedDir); dir != "" {
		beKilled(dir)
	}
	os.Exit(m.Run())
}

func beParent(dir string) {
	inst, err := Find(context.Background())
	if err != nil {
		panic(err)
	}
	s, err := Start(context.Background(), inst, ServerOptions{Dir: dir, AdminPassword: "secret", NoSync: true})
	if err != nil {
		panic(err)
	}
	// Threads that end in the meantime must not take the server with them.
	for range 20 {
		done := make(chan struct{})
		go func() { runtime.LockOSThread(); close(done) }()
		<-done
	}
	fmt.Println(s.Pid, s.URL("postgres"))
	select {}
}

func TestServerLivesAndStops(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	s := start(t, ServerOptions{Dir: dir})
	execSQL(t, s, "CREATE TABLE kept (n int)")
	execSQL(t, s, "INSERT INTO kept VALUES (42)")
	stop(t, s)
	select {
	case <-s.Ended():
	default:
		t.Error("stopped, but not ended")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stopped again: %v", err)
	}
	s = start(t, ServerOptions{Dir: dir})
	if got := query[int](t, s, "SELECT n FROM kept"); got != 42 {
		t.Errorf("read %d again", got)
	}
	s.Kill()
	s = start(t, ServerOptions{Dir: dir})
	if got := query[int](t, s, "SELECT n FROM kept"); got != 42 {
		t.Errorf("after a crash read %d", got)
	}
	uid := fmt.Sprint(os.Geteuid())
	if os.Geteuid() == 0 {
		uid = fmt.Sprint(DefaultID)
	}
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid)); err != nil || !strings.Contains(string(status), "Uid:\t"+uid+"\t"+uid) {
		t.Errorf("the server does not run as %s: %s (%v)", uid, status, err)
	}
}

// TestStopWithClients: a session in a transaction does not hold a stop up.
func TestStopWithClients(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{Dir: openDir(t)})
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop(t, s) // an error where it was no fast shutdown
}

// TestStopOfStuckServer: a server that does not react is ended all the same.
func TestStopOfStuckServer(t *testing.T) {
	t.Parallel()
	s := start(t, ServerOptions{Dir: openDir(t)})
	testtool.Hang(t, s.Pid)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want to hear of the context", err)
	}
	select {
	case <-s.Ended():
	default:
		t.Error("it is still there")
	}
}

func TestServerDiesWithParent(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	template(t, find(t))
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentDir+"="+dir)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var url string
	_, err = fmt.Fscan(bufio.NewReader(out), &pid, &url)
	if err != nil {
		parent.Process.Kill()
		t.Fatal(err, parent.Wait())
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Errorf("the server is gone before its parent: %v", err)
	} else {
		defer conn.Close(t.Context())
	}
	parent.Process.Kill()
	_ = parent.Wait()
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		if gone(pid) {
			return
		}
	}
	syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("server %d outlived its parent", pid)
}

// gone says whether a process has ended; a zombie has.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z") || strings.HasPrefix(after, "X")
}

func TestStartOnUsedPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(t.Context(), find(t), ServerOptions{
		Dir: openDir(t), AdminPassword: "p", NoSync: true, Port: l.Addr().(*net.TCPAddr).Port,
	})
	if !errors.Is(err, syscall.EADDRINUSE) || !errors.Is(err, ErrDied) {
		t.Errorf("%v", err)
	}
}

// TestStartIsSureOfItself: another server with the same password on the port is not taken for this one.
func TestStartIsSureOfItself(t *testing.T) {
	t.Parallel()
	other := start(t, ServerOptions{Dir: openDir(t)})
	_, err := Start(t.Context(), find(t), ServerOptions{Dir: openDir(t), AdminPassword: "secret", NoSync: true, Port: other.Port})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v", err)
	}
}

func TestStartUnreachable(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root drops to another id")
	}
	_, err := Start(t.Context(), find(t), ServerOptions{Dir: t.TempDir(), AdminPassword: "p", NoSync: true})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "chmod o+x") {
		t.Errorf("below a closed directory: %v", err)
	}
}

func TestOtherID(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		if err := Prepare(t.Context(), find(t), template(t, find(t)), filepath.Join(openDir(t), "data"), Settings{AdminPassword: "p", UID: 1}); err == nil {
			t.Error("an ordinary user prepared a directory for somebody else")
		}
		return
	}
	// An id without a name, as instances have.
	const id = 2_000_001
	dir := openDir(t)
	s := start(t, ServerOptions{Dir: dir, UID: id, GID: id})
	info, err := os.Stat(filepath.Join(dir, "data", "base"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != id || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	if got := query[int](t, s, "SELECT 1"); got != 1 {
		t.Error(got)
	}
}

func TestStartCancelled(t *testing.T) {
	t.Parallel()
	inst, dir := find(t), openDir(t)
	if err := Prepare(t.Context(), inst, template(t, inst), filepath.Join(dir, "data"), Settings{AdminPassword: "right", NoSync: true}); err != nil {
		t.Fatal(err)
	}
	// With the wrong password it never answers.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := Start(ctx, inst, ServerOptions{Dir: dir, AdminPassword: "wrong", NoSync: true})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "password authentication failed") {
		t.Errorf("%v", err)
	}
	// The failed one is gone, or this one would not get its lock.
	start(t, ServerOptions{Dir: dir, AdminPassword: "right"})
}

// TestStartBesideWhatIsLeft: a session of a killed server that has not noticed yet
// is waited for.
func TestStartBesideWhatIsLeft(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	s := start(t, ServerOptions{Dir: dir})
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	session := int(conn.PgConn().PID())
	testtool.Hang(t, session)
	s.Kill()
	goesOn := func() { syscall.Kill(session, syscall.SIGCONT) }
	defer goesOn() // also when the test has failed before its time
	defer time.AfterFunc(300*time.Millisecond, goesOn).Stop()
	start(t, ServerOptions{Dir: dir})
}
