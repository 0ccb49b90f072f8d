package pipeline

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Person is who acts, as the kernel has it: nothing that the caller's environment
// says is believed, SUDO_USER and USER least of all.
type Person struct {
	Name  string `json:"name"`           // for people
	UID   int    `json:"uid"`            // real user id of the process
	Login int    `json:"login"`          // user id that the session logged in with, or Unknown
	Said  string `json:"said,omitempty"` // whom this one names as having acted, as Jenkins does
}

// Unknown login: no audit here, or a session that nobody logged in to.
const Unknown = -1

// Me is the person that this process works for.
func Me() Person {
	p := Person{UID: os.Getuid(), Login: login()}
	p.Name = account(p.UID)
	if p.Login != Unknown && p.Login != p.UID {
		p.Name += fmt.Sprintf(" (logged in as %s)", account(p.Login))
	}
	if host, err := os.Hostname(); err == nil {
		p.Name += "@" + host
	}
	return p
}

// account is the name of a user id. It is looked up by the number alone:
// user.Current would fall back on the environment.
func account(id int) string {
	if u, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("user %d", id)
}

// login is what the kernel's audit knows of the session; it stays the same
// through su and sudo.
func login() int {
	text, err := os.ReadFile("/proc/self/loginuid")
	if err != nil {
		return Unknown
	}
	const unset = 1<<32 - 1
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil || id == unset {
		return Unknown
	}
	return int(id)
}

func (p Person) String() string {
	if p.Said != "" {
		return fmt.Sprintf("%s (so says %s)", p.Said, p.Name)
	}
	return p.Name
}

// identity tells people apart. Root is who logged in to become it. The login of
// others is not believed: where nobody has logged in, an ordinary user may write
// any.
func (p Person) identity() int {
	if p.UID == 0 && p.Login != Unknown {
		return p.Login
	}
	return p.UID
}
