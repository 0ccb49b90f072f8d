package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"

	"godwit/internal/confine"
	"godwit/internal/sockets"
)

// Ready is the line a gateway prints on standard output once it serves.
type Ready struct {
	Listen string `json:"listen"`
	PID    int    `json:"pid"`
}

// Main is the gateway process: godwit gateway --listen … --admin … --state ….
// It returns the exit status: 0 ended gracefully, 1 failed, 2 wrong usage.
func Main(args []string) int {
	cfg, err := parseArgs(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "godwit gateway:", err)
		return 2
	}
	collectLess()
	cfg.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if err := serveProcess(ctx, cfg, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "godwit gateway:", err)
		return 1
	}
	return 0
}

// collectLess lets garbage grow to four times of what lives, which is little in a
// gateway; it saves about a tenth of the processor time (BenchmarkPeers). Above
// the limit it is collected as ever. GOGC and GOMEMLIMIT have the last word.
func collectLess() {
	const softLimit = 1 << 30
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
}

func parseArgs(args []string, usage io.Writer) (Config, error) {
	var cfg Config
	fs := flag.NewFlagSet("godwit gateway", flag.ContinueOnError)
	fs.SetOutput(usage)
	fs.StringVar(&cfg.Listen, "listen", "127.0.0.1:8080", "host:port for clients")
	fs.StringVar(&cfg.Admin, "admin", "", "unix `socket` of the admin API")
	fs.IntVar(&cfg.MaxConnections, "max-connections", 0, "`number` of clients' connections; 0: as many as there are descriptors for")
	fs.IntVar(&cfg.MaxPerAddress, "max-connections-per-address", 0, "`number` of those from one address; 0: half of them")
	fs.StringVar(&cfg.State, "state", "", "`file` that keeps the last good table")
	fs.StringVar(&cfg.Handover, "handover", "", "unix `socket` on which it hands over to another gateway")
	fs.StringVar(&cfg.Base, "base", "", "`directory` that it stands in; doors below it are found from there")
	id := fs.Int("confine", -1, "drop all rights and become this uid, when root starts it")
	confined := fs.Bool("confined", false, "that has been done")
	list := fs.String("inherit", "", "what it inherits from whoever starts and watches it")
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if cfg.Admin == "" || cfg.State == "" {
		return cfg, errors.New("--admin and --state are needed")
	}
	if cfg.MaxConnections < 0 || cfg.MaxPerAddress < 0 {
		return cfg, errors.New("a number of connections is not negative")
	}
	if *id >= 0 && !*confined {
		trusts := []string{os.Getenv("SSL_CERT_FILE"), os.Getenv("SSL_CERT_DIR")}
		err := confine.Gateway(*id, filepath.Dir(cfg.State), trusts, slices.Concat([]string{"godwit", "gateway"}, args, []string{"--confined"}))
		if !errors.Is(err, errors.ErrUnsupported) {
			return cfg, err
		}
	}
	var err error
	cfg.Sockets, cfg.Lock, err = sockets.Inherit(*list)
	return cfg, err
}

func serveProcess(ctx context.Context, cfg Config, stdout io.Writer) error {
	s, err := New(cfg)
	if err != nil {
		return err
	}
	s.onReady = func() { _ = json.NewEncoder(stdout).Encode(Ready{Listen: s.Addr(), PID: os.Getpid()}) }
	return s.Run(ctx)
}
