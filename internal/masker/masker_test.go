package masker

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func maskAll(t testing.TB, values []string, chunks ...string) string {
	t.Helper()
	var out bytes.Buffer
	m := New(values).Writer(&out)
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
		"base64 without end": {[]string{"hunter2"}, base64.RawStdEncoding.EncodeToString([]byte("hunter2")) + ".", "***."},
		"base64 for URLs":    {[]string{"a>>>b???c"}, base64.URLEncoding.EncodeToString([]byte("a>>>b???c")), "***"},
		"userinfo":           {[]string{"postgres://till:pa%2Fss@h/db"}, "till:pa%2Fss till:pa/ss", "*** till:***"},
		"parameter":          {[]string{"postgres://h/db?sslpassword=pa%2Fss&sslmode=require"}, "pa/ss pa%2Fss require", "*** *** require"},
		"four bytes":         {[]string{"abcd"}, "abc abcd", "abc ***"},
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

// TestWithinBase64: in the base64 of a longer text a secret is not to be read either.
func TestWithinBase64(t *testing.T) {
	t.Parallel()
	const password = "hunter2222"
	for _, before := range []string{"", "a", "till", "user:", "Basic xy:"} {
		text := base64.StdEncoding.EncodeToString([]byte(before + password + "@db.example/till"))
		got := maskAll(t, []string{password}, text)
		if !strings.Contains(got, Concealed) {
			t.Errorf("%q: %q", before, got)
		}
		for _, part := range strings.Split(got, Concealed) {
			for cut := range len(part) { // whatever is left of it, from wherever it is read
				if b, _ := base64.StdEncoding.DecodeString(part[cut:]); strings.Contains(string(b), password[1:len(password)-1]) {
					t.Errorf("%q: %q holds %q", before, got, b)
				}
			}
		}
	}
}

// TestString is the same at once.
func TestString(t *testing.T) {
	t.Parallel()
	if got := New([]string{"secret"}).String("a secret, sec"); got != "a ***, sec" {
		t.Error(got)
	}
	if got := New(nil).String("all is said"); got != "all is said" {
		t.Error(got)
	}
	for value, want := range map[string]string{
		"postgres://till:pa%2Fss@h:1/db?password=x&sslmode=a": "pa/ss pa%2Fss till:pa%2Fss till:pa%2Fss x", "http://10.0.0.1:80": "", "plain": "plain",
	} {
		if got := strings.Join(Parts(value), " "); got != want {
			t.Errorf("of %s: %q, want %q", value, got, want)
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
				want.WriteString(Concealed)
			}
		}
		var out bytes.Buffer
		m := New(secrets).Writer(&out)
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
	m := New([]string{base64.StdEncoding.EncodeToString(key), "postgres://till:pa%2Fss@h/db"}).Writer(nothing{})
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
