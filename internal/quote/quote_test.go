package quote

import (
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestUnitRefuses: what a unit file cannot say is refused, never changed.
func TestUnitRefuses(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"", "srv", "./srv", "/srv/../etc", "/srv/", "/srv\nExecStartPre=+/bin/sh -c id", "/srv\r", "/srv\x00", "/srv\\", "/srv ", "/srv\u00a0", "/srv\x1b[31m", "/srv\xff", "/srv\u0085x",
		"/" + strings.Repeat("x", longestLine)} {
		if got, err := UnitPath(dir); err == nil {
			t.Errorf("path %q is %q", dir, got)
		}
	}
	for _, words := range [][]string{nil, {""}, {"till"}, {"/bin/../till"}, {`/bin/"till`}, {"/bin/'till"}, {`/bin/\till`}, {"/bin/till\n"}, {"/bin/till\x07"}, {"/bin/till", "\x00"}, {"/bin/till", "\xff"},
		{"/bin/till", strings.Repeat("%", longestLine)}} {
		if got, err := UnitCommand(words); err == nil {
			t.Errorf("command %.99q is %.99q", words, got)
		}
	}
	for _, v := range []string{"", "A", "=x", "1A=x", "A B=x", "A\nB=x", "a.b=x", "A=\x00", "A=\x1b", "A=\xff", "Ä=x"} {
		if got, err := UnitVariable(v); err == nil {
			t.Errorf("variable %q is %q", v, got)
		}
	}
	for _, text := range []string{"a\nb", " a", "a\\", "\x1b"} {
		if got, err := UnitText(text); err == nil {
			t.Errorf("text %q is %q", text, got)
		}
	}
}

// TestShell: a real shell gets each word as it was.
func TestShell(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := strings.Map(func(r rune) rune {
			if r == 0 {
				return -1
			}
			return r
		}, rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("'\"\\$`!*?~#;&|<>(){}[] \t\n-=%ax")))).Draw(t, "word"))
		out, err := exec.Command("sh", "-c", "printf %s. "+Shell(word)).Output()
		if err != nil || string(out) != word+"." {
			t.Fatalf("%q written %s is %q, %v", word, Shell(word), out, err)
		}
	})
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain ä 鳥\ttext\n":     "plain ä 鳥\ttext\n",
		"\x1b]0;owned\a\x1b[2J": "\uFFFD]0;owned\uFFFD\uFFFD[2J",
		"over\rwritten\b":       "over\uFFFDwritten\uFFFD",
		"\x9b31m\u009b31m":      "\uFFFD31m\uFFFD31m", // one byte, or the rune, that begins a command too
		"a\u202eb\u2066c":       "a\uFFFDb\uFFFDc",    // turns round what follows
	} {
		if got := Terminal(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
