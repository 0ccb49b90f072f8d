//go:build linux

package quote

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// dumped is what systemd has read of the services in a directory, by name.
func dumped(t *testing.T, systemd, dir string) map[string]stated {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), systemd, "--test", "--system", "--unit=all.target", "--no-pager")
	cmd.Env = []string{"SYSTEMD_UNIT_PATH=" + dir, "XDG_RUNTIME_DIR=" + dir, "HOME=" + dir}
	if os.Geteuid() == 0 { // it refuses to test as root
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, Groups: []uint32{}}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	units := map[string]stated{}
	for _, text := range strings.Split(out.String(), "\t-> Unit ")[1:] {
		name, text, _ := strings.Cut(text, ":\n")
		if !strings.HasPrefix(name, "u") || !strings.HasSuffix(name, ".service") {
			continue
		}
		units[name] = readDump(t, text)
	}
	return units
}

var dumpKey = regexp.MustCompile(`(?m)^\t\t(?:-> )?[A-Z][A-Za-z ]*:`)

// readDump takes one unit of a dump apart. A value may have lines of its own:
// it ends where the next key begins.
func readDump(t *testing.T, text string) (s stated) {
	t.Helper()
	at := dumpKey.FindAllStringIndex(text, -1)
	for i, key := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		value := strings.TrimSuffix(strings.TrimPrefix(text[key[1]:end], " "), "\n")
		switch strings.TrimSpace(text[key[0]:key[1]]) {
		case "WorkingDirectory:":
			s.workDir = value
		case "Environment:":
			s.env = append(s.env, value)
		case "-> ExecStart:":
			_, command, _ := strings.Cut(value, "Command Line: ")
			s.words = shellWords(t, command)
		case "-> ExecStartPre:":
			t.Errorf("there is a command before the command: %q", value)
		}
	}
	return s
}

// shellWords reads words as systemd prints them: quoted where needed, with C's escapes.
func shellWords(t *testing.T, text string) (words []string) {
	t.Helper()
	var word strings.Builder
	quoted, begun := false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted, begun = !quoted, true
		case c == ' ' && !quoted:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		case c == '\\':
			i++
			begun = true
			plain := strings.IndexByte("abfnrtvs", text[i])
			switch {
			case plain >= 0:
				word.WriteByte("\a\b\f\n\r\t\v "[plain])
			case text[i] >= '0' && text[i] <= '7':
				n, err := strconv.ParseUint(text[i:i+3], 8, 8)
				if err != nil {
					t.Fatal(err)
				}
				word.WriteByte(byte(n))
				i += 2
			default:
				word.WriteByte(text[i])
			}
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}
