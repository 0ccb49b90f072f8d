//go:build unix

package watch

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"godwit/internal/confine"
	"godwit/internal/sockets"
)

// command is a role's process, not started yet. done is called once it is.
func (w *Watch) command(r Role, lock *os.File) (cmd *exec.Cmd, done func(), err error) {
	cmd = exec.Command(program())
	cmd.Args[0] = "godwit"
	var log string
	kept := func(string) bool { return true }
	switch r {
	case Engine:
		cmd.Args, cmd.Env, log = append(cmd.Args, "engine", "--state", w.dir), EngineEnv(os.Environ()), w.EngineLog()
	case Gateway:
		if err := w.makeGatewayDir(); err != nil {
			return nil, nil, err
		}
		// Below its working directory, from where it reaches its own: its ids may not
		// be able to walk there from the root.
		cmd.Args = append(cmd.Args, "gateway", "--listen", w.Sockets.Address(sockets.Clients), "--admin", w.AdminSocket(), "--base", w.dir,
			"--state", filepath.Join(gatewayDir, tableFile), "--handover", filepath.Join(gatewayDir, "handover.sock"),
			"--confine", strconv.Itoa(confine.GatewayID(w.dir)))
		cmd.Env, log = gatewayEnv(os.Environ()), w.GatewayLog()
		kept = func(name string) bool { return name == sockets.Admin || name == sockets.Clients }
	default:
		cmd.Args, cmd.Env, log = append(cmd.Args, "watch", "--state", w.dir, "--as", string(r)), EngineEnv(os.Environ()), filepath.Join(w.own(), string(r)+".log")
	}
	cmd.Dir = w.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out := OpenLog(log)
	cmd.Stdout, cmd.Stderr = out, out
	list, close, err := w.Sockets.Give(cmd, lock, kept)
	if err != nil {
		out.Close()
		return nil, nil, err
	}
	cmd.Args = append(cmd.Args, "--inherit", list)
	return cmd, func() { close(); out.Close() }, nil
}

// program is this program's file, of its newest version when it was replaced; a
// file that is gone still runs.
func program() string {
	if path, err := os.Executable(); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return "/proc/self/exe"
}

// OpenLog opens a log to write behind what is there. A process says nothing
// rather than not to run at all.
func OpenLog(path string) *os.File {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	return f
}

// makeGatewayDir makes the gateway's directory and gives it what is in it. Nothing
// in there is followed: the gateway may have put it there.
func (p Place) makeGatewayDir() error {
	if err := os.Mkdir(p.GatewayDir(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Lstat(p.GatewayDir()); there != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return nil
	}
	id := confine.GatewayID(p.dir)
	for _, path := range []string{p.GatewayDir(), p.Table()} {
		info, err := os.Lstat(path)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid == uint32(id) {
			continue
		}
		if err := os.Lchown(path, id, id); err != nil {
			return err
		}
	}
	return nil
}

// engineVariables are what an engine takes from the environment of whoever starts
// it: where programs and its user's files are, language and time, how servers far
// away are reached and trusted, and where AWS's own files and services are. No key
// is among them: those come with up. A trailing star stands for any ending.
var engineVariables = []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_*", "LANG", "LC_*", "TZ",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "AWS_EC2_METADATA_*", "AWS_USE_*", "AWS_ENDPOINT_URL*", "AWS_STS_REGIONAL_ENDPOINTS",
	"AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_*", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"GOGC", "GOMEMLIMIT", "GODEBUG", "GOTRACEBACK"}

// gatewayVariables are the same for the gateway: whom it trusts, and what its
// memory is.
var gatewayVariables = []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOTRACEBACK"}

// EngineEnv is what of an environment an engine is given.
func EngineEnv(all []string) []string { return choose(all, engineVariables) }

func gatewayEnv(all []string) []string { return choose(all, gatewayVariables) }

func choose(all, names []string) []string {
	chosen := []string{} // not nil, which would be all
	for _, pair := range all {
		name, _, _ := strings.Cut(pair, "=")
		if slices.ContainsFunc(names, func(n string) bool {
			beginning, any := strings.CutSuffix(n, "*")
			return n == name || any && strings.HasPrefix(name, beginning)
		}) {
			chosen = append(chosen, pair)
		}
	}
	return chosen
}
