package warden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"godwit/internal/confine"
	"godwit/internal/door"
	"godwit/internal/site/local/network"
)

// Descriptors that a warden inherits, in this order from 3 on.
const (
	readyFD = 3 + iota // it writes readyWord, or what went wrong
	lockFD             // the lock of its directory, held as long as it lives
	treesFD            // when root started it: its trees as detached mounts, Dir first
)

const readyWord = "ready\n"

// settings are what Start gives to Main, on stdin.
type settings struct {
	Config
	TreesPassed bool `json:"trees_passed"`
}

// How a warden is told what it is: first isolated, in namespaces of its own, then
// confined too, so that it can do no more in there than it needs.
const (
	isolated = "isolated"
	confined = "confined"
)

// Main is a warden's whole life. It returns when the warden was told to end.
func Main(args []string) int {
	if len(args) > 0 && args[0] == isolated {
		err := confine.Supervisor([]string{"godwit", Name, confined})
		fmt.Fprint(os.NewFile(readyFD, "ready"), err)
		return 1
	}
	// What it makes has the mode it says, whatever the mask of who started it:
	// instances have ids of their own and must be able to walk to their shim.
	unix.Umask(0o022)
	unix.CloseRange(readyFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	ready := os.NewFile(readyFD, "ready")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := live(ctx, ready); err != nil {
		fmt.Fprintln(os.Stderr, "warden:", err)
		fmt.Fprint(ready, err)
		return 1
	}
	return 0
}

func live(ctx context.Context, ready *os.File) error {
	var s settings
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &warden{Config: s.Config, quit: cancel, keepers: map[string]*keeper{}, turns: newTurns(),
		log: slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("environment", s.Environment)}
	if err := w.settle(s); err != nil {
		return err
	}
	defer w.links.Close()
	control, err := listenUnix(ControlSocket(s.Dir))
	if err != nil {
		return err
	}
	defer control.Close()
	doors, err := w.openDoors()
	if err != nil {
		return err
	}
	for ln := range doors {
		defer ln.Close()
	}
	if _, err := ready.WriteString(readyWord); err != nil {
		return err
	}
	ready.Close()
	w.log.Info("warden is ready", "router", s.Router, "isolated", !s.Plain)
	return w.serve(ctx, control, doors)
}

// settle makes the world that the warden lives in.
func (w *warden) settle(s settings) error {
	if s.Plain {
		w.links = newBalancer()
		held, err := net.Listen("tcp", netip.AddrPortFrom(s.Router, PlainPort).String())
		if err != nil {
			return fmt.Errorf("take the network of %s: %w", s.Router, err)
		}
		w.held = held // for life
		return os.MkdirAll(s.Dir+"/logs", 0o700)
	}
	if err := buildWorld(s); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir+"/logs", 0o700); err != nil {
		return err
	}
	links, err := newRouted(s.Router)
	w.links = links
	return err
}

// openDoors opens the three doors, each with who may do what through it.
func (w *warden) openDoors() (map[*net.UnixListener]doorPolicy, error) {
	doors := map[*net.UnixListener]doorPolicy{}
	for path, policy := range map[string]doorPolicy{
		DoorSocket(w.Dir):  {w: w, dials: network.Rules.GatewayMayDial, ready: true},
		RelaySocket(w.Dir): {w: w, dials: network.Rules.RelayMayDial, listens: true},
		AdminSocket(w.Dir): {w: w, dials: network.Rules.RouterMayDial},
	} {
		ln, err := listenUnix(path)
		if err != nil {
			for opened := range doors {
				opened.Close()
			}
			return nil, err
		}
		doors[ln] = policy
	}
	return doors, nil
}

func listenUnix(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// The mask makes the socket its owner's from its first instant.
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	return ln, nil
}

// warden is the running process.
type warden struct {
	Config
	log   *slog.Logger
	links links
	held  net.Listener
	quit  context.CancelFunc

	complete atomic.Bool // it was given everything that its environment has

	mu      sync.Mutex
	keepers map[string]*keeper
	rules   network.Rules
	// lastKill is when something that had hung was killed.
	lastKill time.Time

	wanted   atomic.Int64 // how often the rules, or who is ready, changed
	applying sync.Mutex   // one Apply at a time, in the order of its rules
	applied  int64        // what of wanted holds; with applying

	turns turns
}

// serve answers until ctx ends, then ends everything in order: first nobody may
// ask for more, then the instances, then the sockets.
func (w *warden) serve(ctx context.Context, control *net.UnixListener, gates map[*net.UnixListener]doorPolicy) error {
	// Connections that ask nothing end: they may be many.
	server := &http.Server{Handler: w.handler(ctx), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(control); !errors.Is(err, http.ErrServerClosed) {
			w.log.Error("control socket", "error", err)
			w.quit()
		}
	})
	doors, closeDoors := context.WithCancel(context.WithoutCancel(ctx))
	for ln, policy := range gates {
		serving.Go(func() {
			if err := door.Serve(doors, ln, policy); err != nil {
				w.log.Error("door", "error", err)
				w.quit()
			}
		})
	}
	<-ctx.Done()
	w.endAll()
	closeDoors()
	err := server.Shutdown(context.WithoutCancel(ctx))
	serving.Wait()
	w.log.Info("warden ends")
	return err
}

// endAll stops every instance: those marked Last after the others.
func (w *warden) endAll() {
	for _, last := range []bool{false, true} {
		var ending sync.WaitGroup
		for _, k := range w.all() {
			if k.Last == last {
				ending.Go(k.end)
			}
		}
		ending.Wait()
	}
}

func (w *warden) all() []*keeper {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*keeper, 0, len(w.keepers))
	for _, k := range w.keepers {
		all = append(all, k)
	}
	return all
}

func (w *warden) find(id string) (*keeper, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.keepers[id]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNoInstance, id)
}

// put starts to keep an instance. Putting the same id again changes nothing
// unless it was stopped.
func (w *warden) put(ctx context.Context, i Instance) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		return errors.New("the warden is ending")
	}
	if k := w.keepers[i.Spec.ID]; k != nil && !k.Status().Stopped {
		return nil
	}
	for _, k := range w.keepers {
		if k.Spec.Address == i.Spec.Address && k.Spec.ID != i.Spec.ID {
			return fmt.Errorf("address %s belongs to %s", i.Spec.Address, k.Spec.ID)
		}
	}
	i.Spec.Plain, i.Spec.Router, i.Spec.LogFile = w.Plain, w.Router, LogFile(w.Dir, i.Spec.ID)
	k := newKeeper(i, w)
	kctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = stop
	w.keepers[i.Spec.ID] = k
	go k.keep(kctx) // ended and waited for by k.end
	return nil
}

// setRules makes rules the ones that hold.
func (w *warden) setRules(rules network.Rules) error {
	w.mu.Lock()
	w.rules = rules
	w.mu.Unlock()
	return w.apply()
}

// refresh takes endpoints that are not ready out of the virtual addresses, and
// puts them back.
func (w *warden) refresh() {
	if err := w.apply(); err != nil {
		w.log.Error("apply rules", "error", err)
	}
}

// apply returns when what was changed before it was called holds. Who waits for
// another one finds it done: of a thousand instances that get ready at once most
// cost nothing.
func (w *warden) apply() error {
	mine := w.wanted.Add(1)
	w.applying.Lock()
	defer w.applying.Unlock()
	if w.applied >= mine {
		return nil
	}
	now := w.wanted.Load()
	if err := w.links.Apply(w.effective()); err != nil {
		return err
	}
	w.applied = now
	return nil
}

// effective are the rules without the endpoints of virtual addresses that are
// not ready.
func (w *warden) effective() network.Rules {
	ready, running := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, k := range w.all() {
		s := k.Status()
		ready[s.Address], running[s.Address] = s.Ready, s.Running
	}
	w.mu.Lock()
	rules := w.rules
	w.mu.Unlock()
	good := rules.Only(func(e netip.AddrPort) bool { return ready[e.Addr()] })
	some := rules.Only(func(e netip.AddrPort) bool { return running[e.Addr()] })
	for i := range good.Virtuals {
		// When none is ready at once, a slow machine is likelier than a broken
		// service: those that run are tried rather than everybody denied.
		if len(good.Virtuals[i].Endpoints) == 0 {
			good.Virtuals[i] = some.Virtuals[i]
		}
	}
	return good
}
