package pipeline

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/masker"
)

// Run is one passage through a pipeline; what is here never changes.
type Run struct {
	ID        string             `json:"id"`
	Landscape string             `json:"landscape"`
	Pipeline  landscape.Pipeline `json:"pipeline"`
	Dir       string             `json:"dir"`    // of the landscape
	Digest    string             `json:"digest"` // of the landscape's files
	Site      string             `json:"site"`
	Bake      []string           `json:"bake,omitempty"`    // further arguments of godwit aws bake
	Secrets   []string           `json:"secrets,omitempty"` // names of variables
	Started   time.Time          `json:"started"`
	Machine   string             `json:"machine"`
	By        string             `json:"by"`               // for people
	Person    *Person            `json:"person,omitempty"` // who began it; nil in a run of an older godwit

	runs Runs
	dir  string
}

// Runs are all runs below a state directory.
type Runs struct {
	state string
}

// Open returns the runs of a state directory, which need not exist yet.
func Open(state string) Runs { return Runs{state} }

func (rs Runs) dir() string { return filepath.Join(rs.state, "pipelines") }

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// safeName is a name as a file's; two that differ still do.
func safeName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	kept := strings.Map(func(r rune) rune {
		if r < 128 && plainName.MatchString("a"+string(r)) {
			return r
		}
		return '_'
	}, name)
	return "_" + kept[:min(len(kept), 60)] + "-" + hex.EncodeToString(sum[:6])
}

// newID is a name for a run that can be told from others.
func newID(pipeline string, now time.Time) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%s-%s-%x", pipeline, now.UTC().Format("20060102-150405"), b)
}

// Plan is what a run is made from.
type Plan struct {
	ID        string // "" for a new one
	Landscape *landscape.Landscape
	Pipeline  landscape.Pipeline
	Dir       string // absolute
	Digest    string
	Site      string
	Bake      []string // further arguments of godwit aws bake; only where the site bakes
	By        Person
}

// Begin writes down a new run. With an id that there is already it fails with
// ErrExists.
func (rs Runs) Begin(p Plan, now time.Time) (*Run, error) {
	if err := CheckBake(p.Site, p.Bake); err != nil {
		return nil, err
	}
	machine, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	r := &Run{ID: p.ID, Landscape: p.Landscape.Name, Pipeline: complete(p.Landscape, p.Pipeline), Dir: p.Dir, Digest: p.Digest,
		Site: p.Site, Bake: p.Bake, Secrets: Secrets(p.Landscape), Started: now, Machine: machine, By: p.By.String(), Person: &p.By, runs: rs}
	if r.ID == "" {
		r.ID = newID(r.Pipeline.Name, now)
	}
	if err := checkID(r.ID); err != nil {
		return nil, err
	}
	if strings.HasSuffix(r.ID, ".lock") {
		return nil, fmt.Errorf("%w: %s is no name for a run: what ends in .lock is godwit's own", ErrUsage, r.ID)
	}
	r.dir = filepath.Join(rs.dir(), safeName(r.ID))
	if err := errors.Join(os.MkdirAll(rs.dir(), 0o700), private(rs.dir())); err != nil {
		return nil, err
	}
	if err := os.Mkdir(r.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	// A directory without this file is that of a run that never began.
	err = saveFirst(filepath.Join(r.dir, "run.json"), r)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %s", ErrExists, r.ID)
	}
	return r, err
}

func checkID(id string) error {
	if id == "" || len(id) > 400 || strings.ContainsRune(id, 0) {
		return fmt.Errorf("%w: %.40q is no name for a run: give at most 400 characters", ErrUsage, id)
	}
	return nil
}

// Get returns a run. ErrNotFound when there is none, *Damaged when it cannot be read.
func (rs Runs) Get(id string) (*Run, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	dir := filepath.Join(rs.dir(), safeName(id))
	if info, err := os.Stat(dir); err == nil && !info.IsDir() { // a lock
		return nil, rs.notFound(id)
	}
	r, err := rs.read(dir)
	if r == nil && err == nil {
		err = rs.notFound(id)
	}
	return r, err
}

func (rs Runs) notFound(id string) error {
	return fmt.Errorf("%w: %q; godwit pipeline list has those of this state directory, %s", ErrNotFound, id, rs.state)
}

// lockPath is the file that keeps a second runner of the pipeline away.
func (r *Run) lockPath() string {
	return filepath.Join(r.runs.dir(), safeName(r.Landscape+"."+r.Pipeline.Name)+".lock")
}

func (r *Run) unitDir(u Unit) string {
	name := "all"
	if u.Service != "" {
		name = "service-" + safeName(u.Service)
	}
	return filepath.Join(r.dir, stageDir(u), name)
}

func stageDir(u Unit) string { return fmt.Sprintf("%02d-%s", u.Stage+1, safeName(u.Title)) }

// FileName is the unit as part of a file's name; those of a run differ.
func FileName(u Unit) string {
	if u.Service == "" {
		return stageDir(u)
	}
	return stageDir(u) + "-" + safeName(u.Service)
}

func (r *Run) unitFile(u Unit, name string) string { return filepath.Join(r.unitDir(u), name) }

// imageDir is where a service's image is laid out, once for all stages.
func (r *Run) imageDir(service string) string {
	return filepath.Join(r.dir, "images", safeName(service))
}

// secretValues are the values that must not be seen, as far as this process has them.
func (r *Run) secretValues() (values, tooShort []string) {
	names := append(slices.Clone(r.Secrets), "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
	for _, name := range names {
		value := strings.TrimSpace(os.Getenv(name))
		switch {
		case len(value) >= masker.Shortest:
			values = append(values, value)
		case value != "":
			tooShort = append(tooShort, name)
		}
	}
	return values, tooShort
}
