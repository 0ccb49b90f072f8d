package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Ready is the line a relay prints on standard output once both listeners are open.
type Ready struct {
	HostListen string `json:"host_listen"` // host:port at which the source finds the environment
}

const maxConfig = 64 << 10

// Main is the relay process: godwit relay, with a Config as JSON on standard
// input. It opens its socket on the host, then gives up everything that it does not
// need to relay. It returns the exit status: 0 ended by a signal, 1 failed, 2 wrong
// usage.
func Main(args []string) int {
	flags := flag.NewFlagSet("godwit relay", flag.ContinueOnError)
	fd := flags.Int("listener", -1, "`descriptor` of the socket on the host, once this process is confined")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "godwit relay: its configuration comes as JSON on standard input")
		return 2
	}
	cfg, err := readConfig(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "godwit relay:", err)
		return 2
	}
	if err := run(cfg, *fd); err != nil {
		fmt.Fprintln(os.Stderr, "godwit relay:", err)
		return 1
	}
	return 0
}

// run relays, confined: fd is the socket on the host, or negative before that.
func run(cfg Config, fd int) error {
	var host net.Listener
	var err error
	if fd < 0 {
		err = confineSelf(cfg)
	} else {
		host, err = inherited(fd)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		host, err = listenHost(cfg.ListenHost)
	}
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	return serveProcess(ctx, cfg, host, os.Stdout, slog.New(slog.NewJSONHandler(os.Stderr, nil)))
}

func readConfig(in io.Reader) (Config, error) {
	var cfg Config
	b, err := io.ReadAll(io.LimitReader(in, maxConfig+1))
	if err != nil {
		return cfg, fmt.Errorf("read the configuration: %w", err)
	}
	if len(b) > maxConfig {
		return cfg, fmt.Errorf("the configuration is larger than %d bytes", maxConfig)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&cfg); err != nil {
		return cfg, fmt.Errorf("the configuration is not valid: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return cfg, errors.New("something follows the configuration")
	}
	return cfg, cfg.validate()
}

func serveProcess(ctx context.Context, cfg Config, host net.Listener, stdout io.Writer, log *slog.Logger) error {
	r := onto(host, cfg, log)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		select {
		case <-r.Ready():
			if err := json.NewEncoder(stdout).Encode(Ready{HostListen: r.HostAddr()}); err != nil {
				failed <- fmt.Errorf("say that the relay is ready: %w", err)
				cancel()
			}
		case <-ctx.Done():
		}
	}()
	err := r.Run(ctx)
	cancel()
	return errors.Join(err, <-failed)
}
