package pipeline

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// who is a person of that name, with an id of their own.
func who(name string) Person {
	ids := map[string]int{"ann": 1001, "bob": 1002, "eve": 1003}
	id := ids[name]
	if id == 0 {
		id = 2000 + len(name)
	}
	return Person{Name: name, UID: id, Login: Unknown}
}

// said is an approval that somebody gave elsewhere, as Jenkins says.
func said(name string) *Decision {
	by := who("jenkins")
	by.Said = name
	d := Decide(true, by, time.Now())
	return &d
}

func refuses(name string) *Decision {
	d := Decide(false, who(name), time.Now())
	return &d
}

// TestMe: who acts is who the kernel says, whatever the environment does.
func TestMe(t *testing.T) {
	if os.Getenv("GODWIT_TEST_ME") != "" {
		p := Me()
		if p.UID != os.Getuid() || strings.Contains(p.String(), "mallory") {
			t.Errorf("%+v", p)
		}
		return
	}
	own := Me()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMe$")
	cmd.Env = append(os.Environ(), "GODWIT_TEST_ME=yes", "SUDO_USER=mallory", "SUDO_UID=4711", "USER=mallory", "LOGNAME=mallory", "HOME=/home/mallory")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if !strings.HasPrefix(own.Name, account(os.Getuid())) {
		t.Errorf("%+v", own)
	}
	if got := account(1_999_999_999); got != "user 1999999999" {
		t.Errorf("an account that is none is %q", got)
	}
}

// TestIdentity: root is who became it; nobody else becomes another by what any
// process may write.
func TestIdentity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		p    Person
		want int
	}{
		"ann":                   {Person{UID: 1001, Login: 1001}, 1001},
		"ann from cron":         {Person{UID: 1001, Login: Unknown}, 1001},
		"ann with sudo":         {Person{UID: 0, Login: 1001}, 1001},
		"root":                  {Person{UID: 0, Login: Unknown}, 0},
		"ann who wrote a login": {Person{UID: 1001, Login: 1002}, 1001},
	} {
		if got := c.p.identity(); got != c.want {
			t.Errorf("%s is %d, want %d", name, got, c.want)
		}
	}
}

// TestOthersFiles: where others could write, nothing is believed and nothing begun.
func TestOthersFiles(t *testing.T) {
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", released(nil))
	th.waits(r, Drive{})
	runs := Open(th.state)
	for _, dir := range []string{r.dir, runs.dir()} {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Fatalf("%s has mode %v, %v", dir, info.Mode(), err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := runs.Get(r.ID); err == nil || !strings.Contains(err.Error(), "others may write to "+dir) {
			t.Errorf("%s: %v", dir, err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := runs.Get(r.ID); err != nil {
		t.Error(err)
	}
}

// TestAnswerOfRoot: root's answer can be read by whose run it is.
func TestAnswerOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	t.Parallel()
	th := newTheatre(t)
	r := th.begin("local", released(nil))
	th.waits(r, Drive{})
	u := Unit{Stage: 1, Title: "approve"}
	const other = 54321
	if err := os.Chown(r.unitDir(u), other, other); err != nil {
		t.Fatal(err)
	}
	d := Decide(true, Person{Name: "root", Login: who("ann").UID}, time.Now())
	if _, _, err := r.Decide(d); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(r.unitFile(u, decisionFile(d.Person)))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != other || info.Mode().Perm() != 0o600 {
		t.Errorf("%+v, %v", info, err)
	}
}
