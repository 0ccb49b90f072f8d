package pipeline

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/masker"
)

// TestSecretsNowhere: a command that prints its environment leaves nothing of it
// in any file of the run, nor on the screen.
func TestSecretsNowhere(t *testing.T) {
	const token, password = "tok-4f9a77c1", "pa55w0rd-of-the-source"
	key := "-----BEGIN KEY-----\nMIIEvgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"
	t.Setenv("GODWIT_TEST_TOKEN", token)
	t.Setenv("GODWIT_TEST_DATABASE_URL", "postgres://till:"+password+"@db.example/till")
	t.Setenv("AWS_SECRET_ACCESS_KEY", key)
	th := newTheatre(t)
	r := th.begin("local", shell(`env; printf %s "$GODWIT_TEST_TOKEN" | fold -w1 | while read c; do printf %s "$c"; done; echo; printf %s "$GODWIT_TEST_TOKEN" | base64; echo "$AWS_SECRET_ACCESS_KEY" >&2; exit 4`, time.Minute))
	var said strings.Builder
	err := r.Drive(t.Context(), Drive{Watch: func(e Event) { said.WriteString(e.Text + e.Result.Reason + "\n") }})
	if err == nil || !strings.Contains(said.String(), "GODWIT_TEST_TOKEN=***") || strings.Count(said.String(), masker.Concealed) < 5 {
		t.Fatalf("%v\n%s", err, said.String())
	}
	all := said.String() + err.Error()
	err = filepath.WalkDir(r.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if info, _ := e.Info(); info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		all += string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{token, password, "MIIEvgIBADANBgkq", "hkiG9w0BAQEFAASC", base64.StdEncoding.EncodeToString([]byte(token))} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is to be seen", secret)
		}
	}
}

// TestHostileOutput: a line of a gigabyte, and noise.
func TestHostileOutput(t *testing.T) {
	t.Parallel()
	size := 1 << 30
	if testing.Short() {
		size = 64 << 20
	}
	th := newTheatre(t)
	r := th.begin("local", shell(fmt.Sprintf(`head -c 100000 /dev/urandom; printf '\033]0;title\007\033[2J\n'; head -c %d /dev/zero | tr '\0' x; echo; echo the end`, size), 5*time.Minute))
	longest, shown, last := 0, 0, ""
	err := r.Drive(t.Context(), Drive{Watch: func(e Event) {
		longest, shown = max(longest, len(e.Text)), shown+len(e.Text)
		if e.Moment == Line {
			last = e.Text
		}
		if strings.ContainsAny(e.Text, "\x1b\x07\x00\r") {
			t.Errorf("a terminal would obey %.80q", e.Text)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if longest > 4*longestLine || last != "the end" {
		t.Errorf("the longest line has %d bytes, the last is %.80q", longest, last)
	}
	info, err := os.Stat(r.unitFile(Unit{Title: "run"}, "log"))
	if err != nil || info.Size() > longestLog+longestEnd+1000 {
		t.Errorf("the log has %d bytes, %v", info.Size(), err)
	}
	tail, err := r.Tail(Unit{Title: "run"}, 3)
	if err != nil || len(tail) == 0 || tail[len(tail)-1] != "the end" {
		t.Errorf("it ends with %.200q, %v", tail, err)
	}
}

func TestSecretNames(t *testing.T) {
	t.Parallel()
	l := bistro()
	l.Services = append(l.Services, landscape.Service{Env: map[string]landscape.Value{"A": secretValue("GODWIT_TEST_TOKEN"), "B": landscape.Literal("x")}})
	if got := fmt.Sprint(Secrets(l)); got != "[GODWIT_TEST_DATABASE_URL GODWIT_TEST_TOKEN]" {
		t.Error(got)
	}
}
