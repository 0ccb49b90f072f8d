package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/api"
)

// left are the files of the state directory that hold one of these texts.
func (b *bench) left(texts ...string) (files []string) {
	b.Helper()
	b.ok(filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, text := range texts {
			if bytes.Contains(content, []byte(text)) {
				files = append(files, fmt.Sprintf("%s has %q", d.Name(), text))
			}
		}
		return err
	}))
	return files
}

// TestDownForgetsSecrets: after down no byte of a value that the landscape took
// from the environment is in the state, also of one that was replaced since, or
// that an instance has said.
func TestDownForgetsSecrets(t *testing.T) {
	t.Parallel()
	const before = "an-older-one-of-them"
	b := newBench(t)
	b.env = map[string]string{"CARD_TERMINAL": before}
	b.up()
	b.env = map[string]string{"CARD_TERMINAL": secret}
	b.up()
	b.front.lastWords = fmt.Errorf("it said: no terminal at %s", secret)
	b.breaks(b.image("v2"))
	_, _ = b.Deploy(t.Context(), api.DeployRequest{Service: "till", Environment: "test", Image: b.image("v3")}, b.events.sink())
	b.front.lastWords = nil
	if len(b.left(secret)) == 0 || len(b.left(before)) == 0 {
		t.Fatal("nothing was kept: this test cannot fail")
	}
	_, err := b.Down(t.Context(), api.DownRequest{Approve: true}, b.events.sink())
	b.ok(err)
	gone := []string{secret, before, base64.StdEncoding.EncodeToString([]byte(secret))}
	if files := b.left(gone...); len(files) > 0 {
		t.Errorf("after down: %q", files)
	}
	b.ok(b.Engine.close())
	if files := b.left(gone...); len(files) > 0 {
		t.Errorf("after the engine: %q", files)
	}
	if len(b.historyOf("test", "till")) == 0 {
		t.Error("the history of releases is gone")
	}
}

func (b *bench) historyOf(environment, service string) []string {
	b.start()
	return b.history(environment, service)
}

// TestForgottenRelease: nothing is launched without its values; it is said how to go on.
func TestForgottenRelease(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.deploy("test", b.image("v2"))
	b.ok(b.store.Forget(t.Context())) // as down does, whose gateway here is the test's own
	_, err := b.Rollback(t.Context(), api.RollbackRequest{Service: "till", Environment: "test", To: 1}, b.events.sink())
	if f := api.AsFailure(err); err == nil || f.Code != api.Refused || !strings.Contains(f.Message, "godwit down") {
		t.Errorf("rolled back: %v", err)
	}
	b.serves("test", "till", 2)
}

// forms of a secret that programs print.
func forms(value string) []string {
	return []string{value, base64.StdEncoding.EncodeToString([]byte(value)),
		url.QueryEscape(value), fmt.Sprintf("%q", value)}
}

// talkative is a site whose instances write down what they were given.
type talkative struct{ lines []string }

func (t talkative) Logs(_ context.Context, _, _ string, _ int, _ bool, line func(instance, text string)) error {
	for _, l := range t.lines {
		line("till-1-1", l)
	}
	return nil
}

// TestLogsConcealed: what instances say of their configuration is not shown, in
// none of its forms; nor what is short, or part of a URL.
func TestLogsConcealed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const short, password = "p4ss", "w0rd/of it"
	b.env = map[string]string{"CARD_TERMINAL": secret, "SHORT": short, "URL": "postgres://till:" + url.PathEscape(password) + "@db.example/till"}
	b.up()
	w, err := b.current()
	b.ok(err)
	var said []string
	for _, value := range []string{secret, short, password} {
		said = append(said, forms(value)...)
	}
	var shown strings.Builder
	b.ok(b.readLogs(t.Context(), w, talkative{said}, api.LogsRequest{}, api.Sink{Row: func(row any) { fmt.Fprintln(&shown, row.(api.LogLine).Line) }}))
	for _, text := range append(said, short, password) {
		if strings.Contains(shown.String(), text) {
			t.Errorf("%q is shown in\n%s", text, shown.String())
		}
	}
	if strings.Contains(shown.String(), "db.example") {
		t.Error("nobody said a host")
	}
}

// TestEngineLogConcealed: whoever logs what, in whatever part of a record.
func TestEngineLogConcealed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	b.Engine.log.With("own", secret).WithGroup("in").Error("it said "+secret, "error", fmt.Errorf("wrong: %s", secret), "text", secret, "list", []string{secret}, "n", 4)
	b.concealed()
	if said := b.log.String(); !strings.Contains(said, "it said ***") || !strings.Contains(said, "in.n=4") {
		t.Errorf("the log says %s", said)
	}
}

// TestFailuresConcealed: also of routes that only read, which no operation is around.
func TestFailuresConcealed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.up()
	server := httptest.NewServer(api.Handler(failing{b.Engine}, "test"))
	defer server.Close()
	resp, err := http.Get(server.URL + "/v1/status")
	b.ok(err)
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	b.ok(err)
	if resp.StatusCode/100 == 2 || strings.Contains(body.String(), secret) || !strings.Contains(body.String(), "no terminal at ***") {
		t.Errorf("%d %s", resp.StatusCode, body.String())
	}
}

type failing struct{ *Engine }

func (failing) Status(context.Context) (api.Status, error) {
	return api.Status{}, fmt.Errorf("no terminal at %s", secret)
}
