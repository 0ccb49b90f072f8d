package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"godwit/internal/api/client"
	"godwit/internal/landscape"
	"godwit/internal/site/local"
	"godwit/internal/site/local/postgres"
	"godwit/internal/stand"
)

const (
	environment = "production"
	migration   = "datacenter"
	// endTimeout bounds taking everything down.
	endTimeout = 2 * time.Minute
)

// stage is everything that runs: a data centre, a wire to it, a disk, godwit,
// and the tills.
type stage struct {
	Options
	dir     string
	disk    *disk
	link    *link
	source  *stand.Datacenter
	godwit  *stand.Program
	gateway string
	images  map[string]string
	site    *local.Site    // for looking past the engine
	api     *client.Client // for looking; it starts nothing
	probe   landscape.Probe
	load    *load
	slow    *slowClients

	strangers *strangers
}

func (s *stage) state() string { return filepath.Join(s.dir, "state") }

// openStage brings everything up, under load, with the target following.
func openStage(ctx context.Context, o Options) (*stage, error) {
	s := &stage{Options: o}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"a directory and a disk", s.makeDir},
		{"a data centre: one Postgres, three services, a wire to it", s.startSource},
		{"godwit up", s.up},
		{"the tills", s.startTills},
		{"godwit migrate sync", s.sync},
	} {
		o.Note("— %s", step.name)
		if err := step.do(ctx); err != nil {
			return s, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return s, nil
}

func (s *stage) makeDir(context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "godwit-chaos-"); err != nil {
		return err
	}
	if err = os.Chmod(s.dir, 0o711); err != nil {
		return err
	}
	s.disk, err = mountDisk(s.state())
	return err
}

func (s *stage) startSource(ctx context.Context) (err error) {
	programs := filepath.Join(s.dir, "programs")
	if err := stand.BuildPrograms(ctx, s.Bistro, programs); err != nil {
		return err
	}
	if s.images, err = stand.BuildVersions(ctx, s.Bistro, filepath.Join(s.dir, "versions")); err != nil {
		return err
	}
	if s.source, err = stand.StartDatacenter(ctx, filepath.Join(s.dir, "datacenter"), s.Bistro, programs); err != nil {
		return err
	}
	u, err := url.Parse(s.source.Server.URL("till"))
	if err != nil {
		return err
	}
	data, err := os.Stat(filepath.Join(s.dir, "datacenter", "postgres", "data"))
	if err != nil {
		return err
	}
	s.link, err = openLink(u.Host, int(data.Sys().(*syscall.Stat_t).Uid))
	return err
}

// environ leads godwit's way to the source's databases over the wire.
func (s *stage) environ() []string {
	var env []string
	for _, v := range s.source.Environment() {
		if name, text, _ := strings.Cut(v, "="); strings.HasSuffix(name, "DATABASE_URL") {
			if u, err := url.Parse(text); err == nil {
				u.Host = s.link.address()
				v = name + "=" + u.String()
			}
		}
		env = append(env, v)
	}
	return env
}

func (s *stage) up(ctx context.Context) (err error) {
	if s.gateway, err = stand.FreeAddress(); err != nil {
		return err
	}
	progress, err := os.Create(filepath.Join(s.dir, "commands.log"))
	if err != nil {
		return err
	}
	s.godwit = &stand.Program{Path: s.Godwit, State: s.state(), Env: s.environ(), Progress: progress}
	if err := s.godwit.Must(ctx, nil, "up", "--listen", s.gateway, s.Bistro); err != nil {
		return err
	}
	inst, err := postgres.Find(ctx)
	if err != nil {
		return err
	}
	s.api = client.New(filepath.Join(s.state(), "engine.sock"))
	s.site, err = local.New(local.Config{StateDir: filepath.Join(s.state(), "env"), Postgres: inst})
	return err
}

func (s *stage) startTills(context.Context) error {
	text, err := os.ReadFile(filepath.Join(s.Bistro, "landscape.hcl"))
	if err != nil {
		return err
	}
	l, findings := landscape.Parse([]landscape.File{{Name: "landscape.hcl", Bytes: text}})
	if findings.HasErrors() {
		return fmt.Errorf("landscape: %v", findings)
	}
	p, ok := l.Probe("tills")
	if !ok {
		return errors.New("the landscape declares no probe \"tills\"")
	}
	s.probe = p
	host := ""
	for _, in := range l.Ingresses {
		if in.Name == p.Ingress {
			host = landscape.IngressHost(l, in, environment)
		}
	}
	s.load = startLoad(p, "http://"+s.gateway, host, filepath.Join(s.dir, "ledger.jsonl"), s.Rate, s.Seed)
	s.slow = startSlow(s.gateway, host, s.Slow)
	return nil
}

// sync brings the target to where it follows; then strangers write on both sides.
func (s *stage) sync(ctx context.Context) error {
	if err := s.prepareStrangers(ctx); err != nil {
		return err
	}
	if err := s.godwit.Must(ctx, nil, "migrate", "sync", migration); err != nil {
		return err
	}
	s.strangers = startStrangers(s)
	return nil
}

// close takes everything down. A stage on which something went wrong is left as
// far as its logs go.
func (s *stage) close(keep bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	var errs []error
	if s.load != nil {
		s.load.end()
		s.slow.end()
	}
	if s.strangers != nil {
		s.strangers.end()
	}
	if s.godwit != nil {
		if err := s.godwit.Must(ctx, nil, "down", "--approve"); err != nil {
			errs = append(errs, fmt.Errorf("down: %w", err))
		}
		s.endProcesses()
	}
	if s.link != nil {
		s.link.close()
	}
	if s.source != nil {
		errs = append(errs, s.source.Stop(ctx))
	}
	if keep || s.Keep {
		errs = append(errs, s.keepLogs())
	}
	if s.disk != nil {
		errs = append(errs, s.disk.unmount())
	}
	if keep || s.Keep {
		s.Note("logs and ledger are kept in %s", s.dir)
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// keepLogs saves what godwit's processes wrote from the disk that goes.
func (s *stage) keepLogs() error {
	logs, err := filepath.Glob(filepath.Join(s.state(), "*.log"))
	if err != nil {
		return err
	}
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.dir, filepath.Base(name)), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
