package local

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit/internal/site/local/network"
	"godwit/internal/site/local/runtime"
)

// Check says why this machine cannot isolate environments; nothing when it can.
// It does not ask for versions and settings but tries, in a process that ends
// at once; settings are looked at only to say how to mend it.
func Check() []Problem {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", checkName)
	cmd.Args[0] = "godwit"
	var says bytes.Buffer
	cmd.Stdout, cmd.Stderr = &says, &says
	id := unix.Geteuid()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: runtime.Namespaces,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: unix.Getegid(), Size: 1}}}
	err := cmd.Run()
	if err == nil {
		return nil
	}
	problems := knownObstacles()
	if len(problems) == 0 {
		mend := "run on the machine itself, or in a container with user namespaces, an unmasked /proc and nf_tables"
		problems = []Problem{{Missing: strings.TrimSpace(fmt.Sprintf("%v %s", err, says.String())), Mend: mend}}
	}
	return problems
}

// tryIsolation does once, in new namespaces, what a warden and a shim need.
func tryIsolation() int {
	steps := []struct {
		what string
		try  func() error
	}{
		{"make mounts private", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"set up the router with nf_tables", func() error { _, err := network.NewRouter(netip.MustParseAddr("192.0.2.1")); return err }},
		{"detach a read-only mount", func() error {
			tree, err := runtime.OpenTree("/usr", false)
			if err == nil {
				err = tree.Close()
			}
			return err
		}},
		{"mount a tmpfs", func() error { return unix.Mount("tmpfs", "/mnt", "tmpfs", 0, "") }},
		{"mount /proc", func() error {
			if err := os.Mkdir("/mnt/proc", 0o755); err != nil {
				return err
			}
			return unix.Mount("proc", "/mnt/proc", "proc", 0, "")
		}},
	}
	for _, s := range steps {
		if err := s.try(); err != nil {
			fmt.Printf("%s: %v\n", s.what, err)
			return 1
		}
	}
	return 0
}

func knownObstacles() []Problem {
	var problems []Problem
	for _, o := range []struct{ setting, bad, mend string }{
		{"user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"},
		{"kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for godwit that allows userns"},
	} {
		text, err := os.ReadFile("/proc/sys/" + o.setting)
		if err == nil && strings.TrimSpace(string(text)) == o.bad {
			problems = append(problems, Problem{
				Missing: fmt.Sprintf("user namespaces are off: %s is %s", strings.ReplaceAll(o.setting, "/", "."), o.bad),
				Mend:    o.mend + " (as root)"})
		}
	}
	return problems
}
