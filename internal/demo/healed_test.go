//go:build linux

package demo

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/api"
	"godwit/internal/site/local/warden"
	"godwit/internal/testtool"
)

// TestKilledEnvironment kills all of production, or of stage, at the steps of
// every operation, under load, and types nothing: the environment comes back by
// itself, the operation ends done or undone, and every acknowledged write is there
// once.
func TestKilledEnvironment(t *testing.T) {
	r := up(t, "50")
	outcome := r.strikeAt(t, "database ", environment, []string{"migrate", "sync"})
	t.Logf("sync: %s; back after %v, the command ended after %v", outcome.end, outcome.back, outcome.ended)
	if outcome.err != nil {
		t.Fatalf("sync: a death of its environment is no fault of it: %v", outcome.err)
	}
	for _, at := range []struct{ step, environment, from, command string }{
		{"… migration datacenter     prepare", environment, "source", "migrate cutover"},
		{"✓ migration datacenter     hold", environment, "source", "migrate cutover"},
		{"… migration datacenter     open", environment, "source", "migrate cutover"},
		{"… migration datacenter     shift", environment, "source", "migrate cutover"},
		{"… migration datacenter     fence", environment, "target", "migrate rollback"},
		{"… migration datacenter     open", environment, "target", "migrate rollback"},
		{"… production/till          launch", environment, "target", "deploy till --env production --image V2"},
		{"… production/till          judge", environment, "target", "rollback till --env production"},
		{"… production/till          drain old", environment, "target", "rollback till --env production"},
		{"rows compared", "stage", "target", "migrate verify"},
		{"rows compared", environment, "target", "migrate verify"},
	} {
		t.Run(at.command+" "+strings.TrimSpace(at.step), func(t *testing.T) {
			if at.from == "source" {
				r.home(t)
			} else {
				r.there(t)
			}
			command := strings.Fields(strings.ReplaceAll(at.command, "V2", r.images["2"]))
			outcome := r.strikeAt(t, at.step, at.environment, command)
			t.Logf("%s; back after %v, the command ended after %v", outcome.end, outcome.back, outcome.ended)
			r.settled(t, "")
			if !strings.HasPrefix(at.command, "migrate") || at.command == "migrate verify" {
				if outcome.err != nil {
					t.Errorf("a death of its environment is no fault of it: %v", outcome.err)
				}
			}
		})
	}
	t.Run("stage falls silent", func(t *testing.T) { r.silent(t, "stage") })
	seen, err := r.load.result()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests, %d failed %v, longest gap %v", seen.Result.Sent, seen.Result.Failed, seen.Result.Reasons, seen.Result.LongestGap)
	if l := seen.Ledger; l.Missing != 0 || l.Duplicated != 0 || l.Acknowledged == 0 {
		t.Errorf("of %d acknowledged writes %d are missing and %d doubled", l.Acknowledged, l.Missing, l.Duplicated)
	}
}

// silent stops an environment's supervisor: status names it and shows the rest,
// production gets a release, and it is replaced.
func (r *running) silent(t *testing.T, silent string) {
	t.Helper()
	pid, err := warden.Pid(filepath.Join(r.godwit.State, "env", "w", silent))
	r.must(t, err)
	testtool.Hang(t, pid) // the engine kills it
	var s api.Status
	r.must(t, r.godwit.Must(t.Context(), &s, "status"))
	named := 0
	for _, e := range s.Environments {
		if (e.Problem != "") != (e.Name == silent) {
			t.Errorf("problem of %s: %q", e.Name, e.Problem)
		}
		named++
	}
	if named != 3 {
		t.Errorf("%d environments are shown", named)
	}
	r.do(t, "deploy", "till", "--env", environment, "--image", r.images["2"])
	r.lives(t, silent, pid)
}

// strike is what followed the death of an environment.
type strike struct {
	back, ended time.Duration // from the kill
	end         string
	err         error
}

// strikeAt runs a command and kills an environment when its progress shows a text.
// It returns when both are back: the environment by itself, the command at its end.
func (r *running) strikeAt(t *testing.T, text, environment string, args []string) strike {
	t.Helper()
	pid, err := warden.Pid(filepath.Join(r.godwit.State, "env", "w", environment))
	r.must(t, err)
	var s strike
	var once sync.Once
	var watching sync.WaitGroup
	var killed time.Time
	watch := &watcher{text: text, seen: func() {
		once.Do(func() {
			killed = time.Now()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			watching.Go(func() { s.back = r.lives(t, environment, pid) })
		})
	}}
	cmd := r.godwit.Command(t.Context(), args...)
	cmd.Stderr = watch
	s.err = cmd.Run()
	if killed.IsZero() {
		t.Fatalf("%v ended (%v) without showing %q:\n%s", args, s.err, text, watch.all.String())
	}
	s.ended = time.Since(killed)
	watching.Wait()
	s.end = "done"
	if s.err != nil {
		all := strings.Split(strings.TrimSpace(watch.all.String()), "\n")
		s.end = all[len(all)-1]
	}
	return s
}

// lives waits until an environment has another supervisor and its databases are
// ready, and says how long that took.
func (r *running) lives(t *testing.T, environment string, dead int) time.Duration {
	began := time.Now()
	_, err := backoff.Retry(t.Context(), func() (struct{}, error) {
		pid, err := warden.Pid(filepath.Join(r.godwit.State, "env", "w", environment))
		if err != nil || pid == dead {
			return struct{}{}, errors.New(environment + " is not back")
		}
		return struct{}{}, r.site.Pulse(t.Context(), environment)
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)), backoff.WithMaxElapsedTime(time.Minute))
	if err != nil {
		t.Error(err)
	}
	return time.Since(began)
}
