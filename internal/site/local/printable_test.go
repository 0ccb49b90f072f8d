package local

import "testing"

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain ä 鳥\ttext\n":     "plain ä 鳥\ttext\n",
		"\x1b]0;owned\a\x1b[2J": "\uFFFD]0;owned\uFFFD\uFFFD[2J",
		"over\rwritten\b":       "over\uFFFDwritten\uFFFD",
		"\x9b31m\u009b31m":      "\uFFFD31m\uFFFD31m", // one byte, or the rune, that begins a command too
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
