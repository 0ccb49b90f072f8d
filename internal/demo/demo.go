// Package demo is the nonstop move from beginning to end: it starts a data
// centre, and then does only what a user would do, with godwit's own commands,
// while a probe stands for the tills. What it saw becomes a report.
//
// Everything it starts ends with it; its directory and ports are its own, so
// several may run at once. Only cli imports it.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"godwit/internal/report"
	"godwit/internal/stand"
)

// Options of a demo.
type Options struct {
	Landscape string        // directory of the restaurant
	Duration  time.Duration // of the load, at the least
	Rate      float64       // requests per second
	Rollback  bool          // go back to the data centre at the end
	Isolation string        // as of godwit up
	Keep      bool          // keep the directory

	Note     func(format string, args ...any) // a line of progress
	Progress io.Writer                        // progress of the commands
}

// cleanup bounds what is done after the end, however it came.
const cleanup = 90 * time.Second

// demo is one run.
type demo struct {
	Options
	dir     string
	bistro  string
	godwit  *stand.Program
	source  *stand.Datacenter
	load    *load
	images  map[string]string // OCI layouts of later versions of till, by version
	gateway string
	report  *report.Report

	executable string // godwit itself; "" means this program
}

// Run does the whole move. The report comes back also when it found problems;
// an error means that the move could not be done.
func Run(ctx context.Context, o Options) (r *report.Report, err error) {
	d := &demo{Options: o, report: &report.Report{}}
	if d.bistro, err = filepath.Abs(o.Landscape); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(d.bistro, "landscape.hcl")); err != nil {
		return nil, fmt.Errorf("%s holds no landscape.hcl: run the demo in godwit's checkout, or name the restaurant's directory with --landscape", o.Landscape)
	}
	if err := d.makeDir(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	if err := d.move(ctx); err != nil {
		return nil, err
	}
	d.report.Judge()
	return d.report, nil
}

// makeDir makes a short path, for the sockets in it, that other ids can pass
// through, for Postgres runs as one of those.
func (d *demo) makeDir() (err error) {
	if d.dir, err = os.MkdirTemp("", "godwit-demo-"); err != nil {
		return err
	}
	return os.Chmod(d.dir, 0o711)
}

// prepare compiles the restaurant, starts its data centre and brings the
// landscape up. Nothing of it is under load yet.
func (d *demo) prepare(ctx context.Context) error {
	self, err := d.self()
	if err != nil {
		return err
	}
	d.Note("compiling the restaurant's services, three versions of till")
	programs := filepath.Join(d.dir, "programs")
	if err := stand.BuildPrograms(ctx, d.bistro, programs); err != nil {
		return err
	}
	if d.images, err = stand.BuildVersions(ctx, d.bistro, filepath.Join(d.dir, "versions")); err != nil {
		return err
	}
	d.Note("starting the data centre: one Postgres, three plain processes")
	if d.source, err = stand.StartDatacenter(ctx, filepath.Join(d.dir, "datacenter"), d.bistro, programs); err != nil {
		return err
	}
	if d.gateway, err = stand.FreeAddress(); err != nil {
		return err
	}
	d.godwit = &stand.Program{Path: self, State: filepath.Join(d.dir, "state"), Env: d.source.Environment(), Progress: d.Progress}
	d.Note("godwit up")
	up := []string{"up", "--listen", d.gateway, d.bistro}
	if d.Isolation != "" {
		up = append(up, "--isolation", d.Isolation)
	}
	return d.godwit.Must(ctx, nil, up...)
}

func (d *demo) self() (string, error) {
	if d.executable != "" {
		return d.executable, nil
	}
	return os.Executable()
}

// end takes everything down, whatever happened before. A demo that failed or is
// to be kept leaves its directory, with the logs.
func (d *demo) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanup)
	defer cancel()
	var errs []error
	if d.load != nil {
		d.load.stop()
	}
	if d.godwit != nil {
		errs = append(errs, d.godwit.Must(ctx, nil, "down", "--approve"))
	}
	if d.source != nil {
		errs = append(errs, d.source.Stop(ctx))
	}
	err := errors.Join(errs...)
	if d.Keep || err != nil || d.report.Verdict == report.Failed {
		d.Note("the demo's directory is kept: %s", d.dir)
		return err
	}
	return os.RemoveAll(d.dir)
}
