//go:build unix

package watch

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"

	"godwit/internal/confine"
	"godwit/internal/sockets"
)

// Main is a watchdog's process: godwit watch --state DIR --as first|second. Only
// the engine and the other watchdog start it. It returns the exit status.
func Main(args []string) int {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	dir := flags.String("state", "", "state directory")
	as := flags.String("as", "", "which of the two")
	list := flags.String("inherit", "", "what it inherits")
	confined := flags.Bool("confined", false, "it can do no more than it needs, nor can what it starts")
	if err := flags.Parse(args); err != nil || *dir == "" || Role(*as) != First && Role(*as) != Second {
		return 2
	}
	if !*confined {
		again := slices.Concat([]string{"godwit", "watch"}, args, []string{"--confined"})
		if err := confine.Maker(again, EngineEnv(os.Environ())); !errors.Is(err, errors.ErrUnsupported) {
			fmt.Fprintln(os.Stderr, "godwit watch:", err)
			return 1
		}
	}
	runtime.GOMAXPROCS(1) // it waits all the time
	debug.SetGCPercent(20)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("watchdog", *as)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := watchdog(ctx, At(*dir), Role(*as), *list, log); err != nil {
		fmt.Fprintln(os.Stderr, "godwit watch:", err)
		return 1
	}
	return 0
}

// watchdog watches until nothing is wanted, or ctx ends.
func watchdog(ctx context.Context, p Place, self Role, list string, log *slog.Logger) error {
	kept, lock, err := sockets.Inherit(list)
	if err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	if err := p.Claim(patience, self, lock); err != nil {
		return err
	}
	w := New(p, kept, log)
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	ln, err := kept.Listener(string(self))
	if err != nil {
		return err
	}
	if ln != nil {
		tasks.Go(func() { w.serve(ln) })
		defer ln.Close()
	}
	log.Info("watches", "pid", os.Getpid(), "sockets", kept.Names())
	other := First
	if self == First {
		other = Second
	}
	tasks.Go(func() { w.Keep(ctx, Engine, Gateway, other) })
	defer quit()
	for ctx.Err() == nil && w.wants(self) {
		sleep(ctx, look)
	}
	log.Info("ends")
	return nil
}
