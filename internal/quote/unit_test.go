//go:build linux

package quote

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// stated is what a unit was given.
type stated struct {
	words   []string
	env     []string
	workDir string
}

func (s stated) unit(t interface{ Fatal(...any) }) string {
	command, err := UnitCommand(s.words)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := UnitPath(s.workDir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[Unit]\nDescription=x\nDefaultDependencies=no\n[Service]\nWorkingDirectory=%s\nExecStart=%s\n", dir, command)
	for _, e := range s.env {
		variable, err := UnitVariable(e)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "Environment=%s\n", variable)
	}
	b.WriteString("User=godwit\n")
	return b.String()
}

// nasty values, each of which means something to some reader of a unit file.
func nasty() []stated {
	return []stated{
		{[]string{"/bin/till"}, nil, "/"},
		{[]string{"/bin/till", "", " ", "  two  ", "\t", ";", "a ; b", "\\;", "{}", "-", "--"}, []string{"A=", "B= ", "C=\t", "D=x"}, "/srv"},
		{[]string{"/bin/%n%h%%", "%n", "%%", "%", "100%", "%s %i %H"}, []string{"A=%n%%%", "B_1=%h"}, "/srv/%n/%%/100%"},
		{[]string{"/bin/till", "$HOME", "${HOME}", "$$", "$", "`id`", "$(id)"}, []string{"A=$HOME ${HOME} $$", "_B=`id`"}, "/srv/$HOME"},
		{[]string{"/bin/till", `"`, `'`, `\`, `\\`, `\"`, `a"b'c\d`, `\n`, `\x41`, `\101`, `\u0041`, `\s`}, []string{`A="`, `B='`, `C=\`, `D=\n`}, `/srv/a"b'c\d`},
		{[]string{"/bin/till", "a\nExecStartPre=+/bin/sh", "\r\n", "\x01\x1b[31m\x7f", "a\\\nb"}, []string{"A=a\nExecStartPre=+/bin/sh", "B=a\\\nb"}, "/srv/[Service]"},
		{[]string{"/bin/till", "# no remark", "; no remark", "[Service]", "ExecStart="}, []string{"A=# no remark", "B==", "C=a=b"}, "/srv/#/;/=/ a"},
		{[]string{"/bin/ä 鳥", "ä", "鳥", "\u0085", "\u2028", "😀"}, []string{"A=ä 鳥 \u2028"}, "/srv/ä 鳥"},
		{[]string{"/bin/@:!+-|till", "@", "+/bin/sh", "-/bin/sh"}, []string{"A=-", "B=@"}, "/srv/-~"},
		{[]string{"/bin/till", strings.Repeat("x", 100_000)}, []string{"A=" + strings.Repeat("%", 50_000)}, "/" + strings.Repeat("x/", 500) + "y"},
	}
}

// drawn values of all characters, the dangerous ones more often.
func drawn(t *rapid.T) stated {
	text := func(label, without string) string {
		runes := rapid.OneOf(rapid.SampledFrom([]rune("%$\"'\\`;#{}[]=~!@+-|: \t\n\rnxs0")), rapid.Rune())
		return strings.Map(func(r rune) rune {
			if r == 0 || strings.ContainsRune(without, r) {
				return -1
			}
			return r
		}, rapid.StringOfN(runes, 0, 20, -1).Draw(t, label))
	}
	onlyPrinted := func(s string) string {
		return strings.Map(func(r rune) rune {
			if Control(string(r), "") != nil {
				return -1
			}
			return r
		}, s)
	}
	s := stated{words: []string{"/bin/" + strings.TrimRight(onlyPrinted(text("program", `"'\./`)), " ") + "x"}}
	for range rapid.IntRange(0, 4).Draw(t, "words") {
		s.words = append(s.words, text("word", ""))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "variables") {
		value := strings.Map(func(r rune) rune {
			if Control(string(r), "\t\n") != nil {
				return -1
			}
			return r
		}, text("value", ""))
		s.env = append(s.env, fmt.Sprintf("V%d=%s", i, value))
	}
	s.workDir = path.Clean("/" + onlyPrinted(text("dir", "")) + "/x")
	return s
}

// TestUnitReadBack: by the rules of systemd.syntax(7), a unit says what was put into it.
func TestUnitReadBack(t *testing.T) {
	t.Parallel()
	for _, s := range nasty() {
		s.compare(t, readUnit(t, s.unit(t)))
	}
	rapid.Check(t, func(t *rapid.T) {
		s := drawn(t)
		s.compare(t, readUnit(t, s.unit(t)))
	})
}

func (s stated) compare(t interface{ Errorf(string, ...any) }, got stated) {
	if !slices.Equal(got.words, s.words) || !slices.Equal(got.env, s.env) || got.workDir != s.workDir {
		t.Errorf("a unit with\n%q says\n%q", s, got)
	}
}

// readUnit is a reader of unit files written after the manual, not after the writer.
func readUnit(t interface{ Fatalf(string, ...any) }, text string) (s stated) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		for strings.HasSuffix(l, `\`) && i+1 < len(lines) {
			i++
			l = strings.TrimSuffix(l, `\`) + " " + lines[i]
		}
		l = strings.TrimSpace(l)
		key, value, _ := strings.Cut(l, "=")
		value = strings.TrimSpace(value)
		switch key {
		case "ExecStart":
			if value[0] != ':' {
				t.Fatalf("variables are expanded in %q", value)
			}
			s.words = readWords(t, value[1:])
		case "Environment":
			s.env = append(s.env, readWords(t, value)...)
		case "WorkingDirectory":
			s.workDir = specifiers(t, value)
		case "[Unit]", "Description", "DefaultDependencies", "[Service]", "User":
		default:
			t.Fatalf("there is a line %q", l)
		}
	}
	return s
}

func readWords(t interface{ Fatalf(string, ...any) }, text string) (words []string) {
	for text = strings.TrimLeft(text, " \t\n\r"); text != ""; text = strings.TrimLeft(text, " \t\n\r") {
		if text[0] != '"' {
			t.Fatalf("the word at %q is not quoted", text)
		}
		var word strings.Builder
		i := 1
		for ; text[i] != '"'; i++ {
			if text[i] != '\\' {
				word.WriteByte(text[i])
				continue
			}
			i++
			switch text[i] {
			case '"', '\\':
				word.WriteByte(text[i])
			case 'x':
				n, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
				if err != nil {
					t.Fatalf("%v", err)
				}
				word.WriteByte(byte(n))
				i += 2
			default:
				t.Fatalf(`an escape \%c`, text[i])
			}
		}
		words, text = append(words, specifiers(t, word.String())), text[i+1:]
	}
	return words
}

func specifiers(t interface{ Fatalf(string, ...any) }, text string) string {
	rest := strings.ReplaceAll(text, "%%", "")
	if strings.Contains(rest, "%") {
		t.Fatalf("%q has a specifier", text)
	}
	return strings.ReplaceAll(text, "%%", "%")
}

// TestUnitReadBySystemd: so says systemd itself, which dumps what it has read.
func TestUnitReadBySystemd(t *testing.T) {
	t.Parallel()
	const systemd = "/lib/systemd/systemd"
	if _, err := os.Stat(systemd); err != nil {
		t.Skip("systemd is not installed")
	}
	all := nasty()
	for seed := range 40 {
		all = append(all, rapid.Custom(drawn).Example(seed))
	}
	dir, err := os.MkdirTemp("", "units")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	wants := "[Unit]\nDefaultDependencies=no\n"
	for i, s := range all {
		name := fmt.Sprintf("u%d.service", i)
		wants += "Wants=" + name + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s.unit(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "all.target"), []byte(wants), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, got := range dumped(t, systemd, dir) {
		i, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(name, "u"), ".service"))
		if err != nil {
			t.Fatal(err)
		}
		all[i].compare(t, got)
		all[i].words = nil
	}
	for i, s := range all {
		if s.words != nil {
			t.Errorf("systemd has not read unit %d: %q", i, s)
		}
	}
}
