package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/landscape"
	"godwit/internal/relay"
	"godwit/internal/site"
	"godwit/internal/site/local/warden"
)

const (
	// firstRelayPort of the router; the next database in need gets the next one.
	firstRelayPort = 20000
	// relayStarts bounds how long a relay may take to listen.
	relayStarts = 15 * time.Second
)

// OpenRelay implements site.Relayer.
func (s *Site) OpenRelay(ctx context.Context, environment, database, sourceAddress string) (site.Relay, error) {
	r, unlock, err := s.locked(ctx, environment)
	if err != nil {
		return site.Relay{}, err
	}
	defer unlock()
	if r.Databases[database] == nil {
		return site.Relay{}, fmt.Errorf("database %q in environment %s: %w", database, environment, site.ErrNotFound)
	}
	if _, _, err := net.SplitHostPort(sourceAddress); err != nil {
		return site.Relay{}, fmt.Errorf("source %q is not host:port: %w", sourceAddress, site.ErrInvalid)
	}
	open := r.Relays[database]
	if open != nil && open.SourceAddress != sourceAddress {
		return site.Relay{}, fmt.Errorf("a relay between database %s in %s and %s is open; close it before opening one to %s: %w",
			database, environment, open.SourceAddress, sourceAddress, site.ErrInvalid)
	}
	if open == nil {
		open = &relayRecord{SourceAddress: sourceAddress, Port: r.freeRelayPort(), HostListen: "127.0.0.1:0"}
		r.Relays[database] = open
	}
	if !open.alive() {
		if err := s.startRelay(ctx, r, database); err != nil {
			return site.Relay{}, fmt.Errorf("open the relay of database %s in %s: %w", database, environment, err)
		}
	}
	return r.relay(open), nil
}

func (r *record) freeRelayPort() uint16 {
	port := uint16(firstRelayPort)
	for taken := true; taken; {
		taken = false
		for _, other := range r.Relays {
			if other.Port == port {
				taken = true
				port++
			}
		}
	}
	return port
}

// startRelay opens the rules, then starts the process. It is written down
// before it gets its configuration; without one it ends. So none is ever
// running that the record does not know.
func (s *Site) startRelay(ctx context.Context, r *record, database string) error {
	open := r.Relays[database]
	open.Pid = 0
	if err := s.save(r); err != nil {
		return err
	}
	if err := s.client(r.Name).ApplyRules(ctx, r.rules()); err != nil {
		return err
	}
	log, err := os.OpenFile(s.relayLog(r.Name, database), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	process, in, out, err := s.spawnRelay(log)
	if err != nil {
		return err
	}
	defer in.Close()
	defer out.Close()
	open.Pid, open.Started = process.Pid, startTime(process.Pid)
	if err := s.save(r); err != nil {
		return err
	}
	config := relay.Config{ID: s.relayID(r.Name), Door: s.relayDoor(r.Name), ListenInside: r.realPort(r.Router, int(open.Port)).String(),
		Source: open.SourceAddress, ListenHost: open.HostListen,
		Target: r.realPort(r.Databases[database].Address, landscape.DatabasePort).String()}
	if err := json.NewEncoder(in).Encode(config); err != nil {
		return err
	}
	in.Close()
	ready, err := readRelay(ctx, out, process)
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(text)))
	}
	open.moved(ready.HostListen)
	return s.save(r)
}

// moved notes where the relay listens. A port that it had and has not any more is
// one that the other end still believes in.
func (o *relayRecord) moved(to string) {
	first := strings.HasSuffix(o.HostListen, ":0")
	o.Untold = o.Untold || !first && o.HostListen != to
	o.HostListen = to
}

// relayDoor is where a relay finds its door from where it stands, the site's
// directory: its ids may not be able to walk there from the root.
func (s *Site) relayDoor(environment string) string {
	door, err := filepath.Rel(s.StateDir, warden.RelaySocket(s.wardenDir(environment)))
	if err != nil {
		return warden.RelaySocket(s.wardenDir(environment)) // they are not below each other
	}
	return door
}

// spawnRelay starts the process, which waits for its configuration on in.
func (s *Site) spawnRelay(log *os.File) (process *os.Process, in io.WriteCloser, out *os.File, err error) {
	cmd := exec.Command("/proc/self/exe", relayName)
	cmd.Args[0] = "godwit"
	cmd.Env, cmd.Dir = []string{}, s.StateDir
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if in, err = cmd.StdinPipe(); err != nil {
		return nil, nil, nil, err
	}
	out, outW, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, nil, nil, err
	}
	defer outW.Close()
	cmd.Stdout = outW
	if err := cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, nil, nil, err
	}
	go cmd.Wait() // takes its exit status whenever it ends, which may be after this process
	return cmd.Process, in, out, nil
}

func (s *Site) relayLog(environment, database string) string {
	return filepath.Join(s.recordDir(), environment+"."+database+".relay.log")
}

// readRelay waits for the line that says where it listens.
func readRelay(ctx context.Context, out *os.File, process *os.Process) (relay.Ready, error) {
	ctx, cancel := context.WithTimeout(ctx, relayStarts)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { process.Kill() })
	defer stop()
	var ready relay.Ready
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		return ready, fmt.Errorf("the relay did not start: %w", errors.Join(ctx.Err(), err))
	}
	return ready, nil
}

// CloseRelay implements site.Relayer.
func (s *Site) CloseRelay(ctx context.Context, environment, database string) error {
	r, unlock, err := s.locked(ctx, environment)
	if errors.Is(err, site.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	return s.closeRelay(ctx, r, database)
}

// closeRelay ends the process, then closes the rules.
func (s *Site) closeRelay(ctx context.Context, r *record, database string) error {
	open := r.Relays[database]
	if open == nil {
		return nil
	}
	if err := open.end(ctx); err != nil {
		return fmt.Errorf("close the relay of database %s in %s: %w", database, r.Name, err)
	}
	delete(r.Relays, database)
	if err := os.Remove(s.relayLog(r.Name, database)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := s.client(r.Name).ApplyRules(ctx, r.rules())
	if err != nil && !errors.Is(err, warden.ErrNotRunning) {
		return err
	}
	return s.save(r)
}

func (o *relayRecord) alive() bool { return o.Pid > 0 && startTime(o.Pid) == o.Started }

// end ends the relay's process: told to, then killed.
func (o *relayRecord) end(ctx context.Context) error {
	if !o.alive() {
		return nil
	}
	// It names the process that has the pid now. That one is asked whether it is
	// the relay after it was named: no signal ever goes to a stranger.
	process, err := os.FindProcess(o.Pid)
	if err != nil {
		return err
	}
	defer process.Release()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !o.alive() {
			return nil
		}
		if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		wait := backoff.NewExponentialBackOff()
		wait.InitialInterval, wait.MaxInterval = time.Millisecond, 50*time.Millisecond
		_, err := backoff.Retry(ctx, func() (struct{}, error) {
			if o.alive() {
				return struct{}{}, fmt.Errorf("process %d still runs", o.Pid)
			}
			return struct{}{}, nil
		}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(5*time.Second))
		if err == nil || signal == syscall.SIGKILL {
			return err
		}
	}
	return nil
}

// startTime of a process: the boot of the machine, and the kernel's ticks since
// then; "" when it has ended. With the pid it names a process for good.
func startTime(pid int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name, in parentheses, may contain anything; the fields follow the last one.
	i := strings.LastIndexByte(string(text), ')')
	fields := strings.Fields(string(text[i+1:]))
	const state, started = 0, 19 // counted from after the name
	if len(fields) <= started || fields[state] == "Z" {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + fields[started]
}
