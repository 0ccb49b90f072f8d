//go:build linux

package warden

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

const (
	// eager is how often an instance is asked that has not yet been ready.
	eager = 20 * time.Millisecond
	// tolerated failures in a row before a ready instance counts as unready.
	tolerated = 3
	// checksAtMost bounds the checks of all instances together, a second: among
	// more, each is asked less often than its health says.
	checksAtMost = 300
	// hasty are the first failures, after which an instance is soon asked again.
	hasty = 10

	// hangs is how long an instance that was ready may give no answer at all, in
	// several checks, before it counts as hung and is started again.
	hangs = 10 * time.Second
	// startsLate is the same for one that is still starting, startsRecovered for a
	// database, which may have to recover first.
	startsLate      = 5 * time.Minute
	startsRecovered = 30 * time.Minute
	// killsEvery keeps what only seems hung, because the machine is, from being
	// killed all at once.
	killsEvery = 2 * time.Second
)

// errAnswered marks a check that failed but was answered: what asked for it runs.
var errAnswered = errors.New("answered")

// check asks for the instance's health until ctx ends, or the instance has hung,
// which is the error. It calls ready when the instance is, for the first time.
func (k *keeper) check(ctx context.Context, ready func()) (hung error) {
	a := newAsker(k)
	failures, wait := 0, eager
	silence := silence{since: time.Now(), limit: startsLate}
	if a.Login != nil {
		silence.limit = startsRecovered
	}
	for {
		err := a.ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			failures, wait = 0, max(a.Interval, k.w.between())
			silence = silence.broken(a.Timeout)
			k.set(func(s *Status) { s.Ready, s.Reason = true, "" })
			ready()
		} else {
			failures++
			wait = k.w.patience(failures, a.Interval)
			if failures >= tolerated || !k.Status().Ready {
				k.set(func(s *Status) { s.Ready, s.Reason = false, "health check: "+err.Error() })
			}
		}
		if err != nil && silence.tooLong(err) && k.w.mayKill() {
			return fmt.Errorf("it gave no answer for %v, last: %w", time.Since(silence.since).Round(time.Second), err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// silence is for how long and how often nobody answered.
type silence struct {
	since  time.Time
	misses int
	limit  time.Duration
}

// broken: it answered well, and has to answer from now on.
func (s silence) broken(timeout time.Duration) silence {
	return silence{since: time.Now(), limit: max(hangs, tolerated*timeout)}
}

// tooLong counts a failed check. One that was answered ends the silence.
func (s *silence) tooLong(err error) bool {
	if errors.Is(err, errAnswered) {
		s.since, s.misses = time.Now(), 0
		return false
	}
	s.misses++
	return s.misses > tolerated && time.Since(s.since) > s.limit
}

// between is the least time between two checks of an instance.
func (w *warden) between() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(len(w.keepers)) * time.Second / checksAtMost
}

// patience is how long to wait after so many failures in a row.
func (w *warden) patience(failures int, interval time.Duration) time.Duration {
	wait := min(eager*time.Duration(failures), interval)
	if failures > hasty {
		wait = max(wait, w.between())
	}
	return wait
}

// mayKill says whether something that has hung may be killed now.
func (w *warden) mayKill() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.lastKill) < killsEvery {
		return false
	}
	w.lastKill = time.Now()
	return true
}

// asker asks one instance.
type asker struct {
	Health
	at     netip.AddrPort
	client *http.Client
	pid    func() (int, error)
}

func newAsker(k *keeper) asker {
	a := asker{Health: k.Health, at: netip.AddrPortFrom(k.Spec.Address, k.Health.Port), pid: k.pid}
	if a.Interval <= 0 {
		a.Interval = time.Second
	}
	if a.Timeout <= 0 {
		a.Timeout = time.Second
	}
	a.client = &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // only its own answer counts
		},
	}
	return a
}

func (a asker) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	switch {
	case a.Login != nil:
		return a.Login.query(ctx, a.at)
	case a.Path == "":
		return a.connect(ctx)
	}
	return a.get(ctx)
}

// connect is answered by the kernel, also for a program that was stopped.
func (a asker) connect(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.at.String())
	if err != nil {
		return err
	}
	if pid, err := a.pid(); err == nil && stopped(pid) {
		conn.Close()
		return errors.New("its process is stopped")
	}
	return conn.Close()
}

func stopped(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	return strings.HasPrefix(after, "T")
}

func (a asker) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.at.String()+a.Path, nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		// In our words: its own could be meant for somebody's terminal.
		return refusedf("%s answered %d %s", a.Path, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return nil
}

// answer is the error of a check that was answered, and not well.
type answer string

func (a answer) Error() string        { return string(a) }
func (a answer) Is(target error) bool { return target == errAnswered }

func refusedf(format string, args ...any) error { return answer(fmt.Sprintf(format, args...)) }
