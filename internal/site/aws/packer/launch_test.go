//go:build linux

package packer

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"godwit/internal/site/aws/convention"
)

// hooked is an Auto Scaling group that answers the n-th time that its launch hook
// is completed with the n-th refusal, and then with yes; the last refusal is for
// all that follow when it ends in "…".
func hooked(t *testing.T, refusals ...string) (endpoint string, calls chan url.Values) {
	t.Helper()
	calls = make(chan url.Values, 1000)
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			return
		}
		calls <- r.PostForm
		w.Header().Set("Content-Type", "text/xml")
		action, refusal := r.PostForm.Get("Action"), ""
		if r.PostForm.Get("LifecycleHookName") == convention.LaunchHook && len(refusals) > 0 {
			n := int(asked.Add(1)) - 1
			if last := refusals[len(refusals)-1]; n < len(refusals) {
				refusal = refusals[n]
			} else if strings.HasSuffix(last, "…") {
				refusal = last
			}
		}
		if refusal != "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type><Code>%s</Code><Message>No active Lifecycle Action found with instance ID %s</Message></Error><RequestId>1</RequestId></ErrorResponse>`,
				strings.TrimSuffix(refusal, "…"), r.PostForm.Get("InstanceId"))
			return
		}
		_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><%[1]sResult/><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></%[1]sResponse>`, action)
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

// asked is a service whose health every look at it asks for here: what is sent
// into the channel is the status of the answer.
func asked(t *testing.T) (port int, answer func(status int)) {
	t.Helper()
	answers := make(chan int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case status := <-answers:
			w.WriteHeader(status)
		case <-t.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port, func(status int) {
		select {
		case answers <- status:
		case <-t.Context().Done():
		}
	}
}

// held is the user data of an instance whose group has the launch hook, and of
// any other: what is in a group only the group says.
func held(port int) convention.UserData {
	u := released(port)
	u.LaunchHook = convention.LaunchHook
	return u
}

// told is a call in few words.
func told(c url.Values) string {
	all := []string{c.Get("Action"), c.Get("LifecycleHookName"), c.Get("LifecycleActionResult"), c.Get("HealthStatus")}
	return strings.Join(slices.DeleteFunc(all, func(word string) bool { return word == "" }), " ")
}

// TestAgentEntersService: the group has the instance with the service's first good
// answer, and not before; the log says what is waited for, and why.
func TestAgentEntersService(t *testing.T) {
	t.Parallel()
	const complete, drained = "CompleteLifecycleAction launch CONTINUE", "CompleteLifecycleAction drain CONTINUE"
	for name, c := range map[string]struct {
		refusals []string
		env      []string
		calls    []string // until it leaves
		says     string
		silent   string
	}{
		"at once":                         {nil, nil, []string{complete}, "goes into service", "trying again"},
		"the group is late":               {[]string{"ValidationError", "ValidationError"}, nil, []string{complete, complete, complete}, "goes into service", "trying again"},
		"no hook, or completed already":   {[]string{"ValidationError…"}, []string{"GODWIT_LAUNCH=0"}, []string{complete}, "the service answers", "the group waited"},
		"AWS refuses, and does no longer": {[]string{"AccessDenied"}, nil, []string{complete, complete}, "AccessDenied", "FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint, calls := hooked(t, c.refusals...)
			i := newInstance(t, endpoint)
			port, answer := asked(t)
			wait, said := i.agentOf(t, held(port), append(c.env, "GODWIT_QUIET=0", "GODWIT_LAUNCH_PAUSE=0.05")...)
			for range 4 {
				answer(http.StatusServiceUnavailable)
			}
			if len(calls) > 0 {
				t.Errorf("before its first good answer: %v", <-calls)
			}
			var got []string
			for len(got) < len(c.calls) { // the answers are good until it has called as often as it should
				select {
				case call := <-calls:
					got = append(got, told(call))
				default:
					answer(http.StatusOK)
				}
			}
			for range 10 {
				answer(http.StatusOK)
			}
			state := "Terminated"
			i.state.Store(&state)
			go answer(http.StatusOK) // it may look once more
			if err := wait(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			for len(calls) > 0 {
				got = append(got, told(<-calls))
			}
			if want := append(c.calls, drained); !slices.Equal(got, want) {
				t.Errorf("it called %q, want %q", got, want)
			}
			for _, want := range []string{c.says, "waiting for the first good answer of http://127.0.0.1", "(it answers 503)"} {
				if !strings.Contains(said.String(), want) {
					t.Errorf("it does not say %q: %s", want, said)
				}
			}
			for _, line := range []string{c.silent, "ValidationError", "Traceback"} {
				if strings.Contains(said.String(), line) {
					t.Errorf("it says %q: %s", line, said)
				}
			}
		})
	}
}

// TestAgentAbandons: a service that no restart makes answer has its launch given
// up; where the group does not hold it, and later on, its instance is called ill.
func TestAgentAbandons(t *testing.T) {
	t.Parallel()
	const abandon, ill = "CompleteLifecycleAction launch ABANDON", "SetInstanceHealth Unhealthy"
	for name, c := range map[string]struct {
		refusals []string
		calls    []string
	}{
		"held":     {nil, []string{abandon, ill}},
		"not held": {[]string{"ValidationError…"}, []string{abandon, ill, abandon, ill}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint, calls := hooked(t, c.refusals...)
			i := newInstance(t, endpoint)
			port, healthy := served(t)
			healthy.Store(false)
			i.agentOf(t, held(port), "GODWIT_REPORT_AGAIN=0.1", "GODWIT_START=0")
			for n, want := range c.calls {
				if got := told(<-calls); got != want {
					t.Errorf("call %d is %q, want %q", n, got, want)
				}
			}
		})
	}
}
