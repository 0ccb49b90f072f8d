package pipeline

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"godwit/internal/landscape"
)

func maskAll(t testing.TB, values []string, chunks ...string) string {
	t.Helper()
	var out bytes.Buffer
	m := newMasker(&out, values)
	for _, c := range chunks {
		if _, err := m.Write([]byte(c)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestMask(t *testing.T) {
	t.Parallel()
	const key = "-----BEGIN KEY-----\nMIIEvgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"
	for name, c := range map[string]struct {
		values []string
		text   string
		want   string
	}{
		"none":               {nil, "all is said", "all is said"},
		"plain":              {[]string{"hunter22"}, "a hunter22 b hunter22", "a *** b ***"},
		"cut short":          {[]string{"hunter22"}, "a hunter2", "a hunter2"},
		"one in another":     {[]string{"secret", "secretive"}, "secretive secrets", "*** ***s"},
		"overlapping":        {[]string{"abcdef", "defghi"}, "xabcdefghix", "x***x"},
		"nearly, then so":    {[]string{"aaab"}, "aaaaab", "aa***"},
		"URL's password":     {[]string{"postgres://till:pa%2Fss@h/db"}, "pa/ss pa%2Fss", "*** ***"},
		"in JSON":            {[]string{`qu"ote\d`}, `{"x":"qu\"ote\\d"}`, `{"x":"***"}`},
		"percent":            {[]string{"a b/c+d"}, "?q=" + url.QueryEscape("a b/c+d"), "?q=***"},
		"base64":             {[]string{"hunter22"}, base64.StdEncoding.EncodeToString([]byte("hunter22")), "***"},
		"key whole":          {[]string{key}, "<" + key + ">", "<***\n>"},
		"key, other endings": {[]string{key}, strings.ReplaceAll(key, "\n", "\r\n"), "***\r\n"},
		"a line of the key":  {[]string{key}, "| MIIEvgIBADANBgkq |", "| *** |"},
		"too short":          {[]string{"abc", ""}, "abc", "abc"},
		"white space around": {[]string{" hunter22\n"}, "hunter22", "***"},
		"shell quoted":       {[]string{"it's a secret"}, `'it'\''s a secret'`, `'***'`},
	} {
		if got := maskAll(t, c.values, c.text); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if got := maskAll(t, c.values, strings.Split(c.text, "")...); got != c.want {
			t.Errorf("%s, byte by byte: %q, want %q", name, got, c.want)
		}
	}
}

// TestMaskProperty compares with a plain search over the whole text: a byte is
// shown exactly when no secret covers it, whatever the writes.
func TestMaskProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(rapid.StringMatching(`[ab]{4,8}`), 1, 4).Draw(t, "secrets")
		text := rapid.StringMatching(`[abc]{0,80}`).Draw(t, "text")
		covered := make([]bool, len(text))
		for _, s := range secrets {
			for _, f := range forms(s) {
				for i := 0; i+len(f) <= len(text); i++ {
					for j := 0; text[i:i+len(f)] == f && j < len(f); j++ {
						covered[i+j] = true
					}
				}
			}
		}
		var want strings.Builder
		for i := range text {
			switch {
			case !covered[i]:
				want.WriteByte(text[i])
			case i == 0 || !covered[i-1]:
				want.WriteString(masked)
			}
		}
		var out bytes.Buffer
		m := newMasker(&out, secrets)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			if _, err := m.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := m.Close(); err != nil || out.String() != want.String() {
			t.Fatalf("%q masked to %q, want %q (%v)", text, out.String(), want.String(), err)
		}
	})
}

// BenchmarkMask: a key and its forms do not slow a log down to a crawl.
func BenchmarkMask(b *testing.B) {
	key := make([]byte, 2400)
	rand.Read(key)
	m := newMasker(nothing{}, []string{base64.StdEncoding.EncodeToString(key), "postgres://till:pa%2Fss@h/db"})
	text := bytes.Repeat([]byte("a line of the log of a build, as they are\n"), 800)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := m.Write(text); err != nil {
			b.Fatal(err)
		}
	}
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }

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
	if err == nil || !strings.Contains(said.String(), "GODWIT_TEST_TOKEN=***") || strings.Count(said.String(), masked) < 5 {
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
