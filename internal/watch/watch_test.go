//go:build unix

package watch

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// TestSilence: who has answered and is silent for long enough hangs, who has not
// answered yet gets longer; an answer, another process, or a single miss after a
// long sleep is none.
func TestSilence(t *testing.T) {
	t.Parallel()
	mute := errors.New("no answer")
	type question struct {
		after time.Duration // since the one before
		pid   int
		err   error
	}
	for name, c := range map[string]struct {
		asked []question
		hangs bool
	}{
		"well":                   {[]question{{0, 1, nil}, {time.Hour, 1, nil}}, false},
		"silent":                 {[]question{{0, 1, nil}, {2 * time.Second, 1, mute}, {2 * time.Second, 1, mute}, {2 * time.Second, 1, mute}}, true},
		"silent for a moment":    {[]question{{0, 1, nil}, {time.Second, 1, mute}, {time.Second, 1, mute}, {time.Second, 1, mute}}, false},
		"the machine slept":      {[]question{{0, 1, nil}, {time.Hour, 1, mute}}, false},
		"it answers again":       {[]question{{0, 1, nil}, {3 * time.Second, 1, mute}, {time.Second, 1, nil}, {2 * time.Second, 1, mute}, {time.Second, 1, mute}, {time.Second / 2, 1, mute}}, false},
		"another process":        {[]question{{0, 1, nil}, {2 * time.Second, 1, mute}, {time.Second, 1, mute}, {2 * time.Second, 2, mute}}, false},
		"it starts":              {[]question{{0, 1, mute}, {5 * time.Second, 1, mute}, {5 * time.Second, 1, mute}, {4 * time.Second, 1, mute}}, false},
		"it never came to start": {[]question{{0, 1, mute}, {5 * time.Second, 1, mute}, {5 * time.Second, 1, mute}, {5 * time.Second, 1, mute}}, true},
	} {
		var s silence
		now, hangs := time.Now(), false
		for _, q := range c.asked {
			now = now.Add(q.after)
			hangs = s.note(q.pid, q.err, now)
		}
		if hangs != c.hangs {
			t.Errorf("%s: hangs is %v", name, hangs)
		}
	}
}

// TestEnvironment: an engine gets what it needs, neither it nor the gateway the
// caller's keys, and both nothing that libraries take for settings.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	caller := []string{"PATH=/bin", "HOME=/root", "AWS_SECRET_ACCESS_KEY=k", "PGPASSWORD=p", "PGHOST=h", "LD_PRELOAD=x", "SSL_CERT_FILE=/c",
		"SSH_AUTH_SOCK=s", "GODWIT_STATE=/s", "LC_ALL=C", "GITHUB_TOKEN=t", "PATHOLOGY=x"}
	if got, want := EngineEnv(caller), []string{"PATH=/bin", "HOME=/root", "SSL_CERT_FILE=/c", "LC_ALL=C"}; !slices.Equal(got, want) {
		t.Errorf("engine: %v", got)
	}
	if got, want := gatewayEnv(caller), []string{"SSL_CERT_FILE=/c"}; !slices.Equal(got, want) {
		t.Errorf("gateway: %v", got)
	}
	if got := gatewayEnv(nil); got == nil {
		t.Error("nil is all that there is")
	}
}
