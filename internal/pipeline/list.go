package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Damaged is a run whose files cannot be read. godwit writes each of them whole,
// so somebody else changed them, or the disk did.
type Damaged struct {
	ID     string `json:"id"` // of the run, or the name of its directory when that cannot be read
	Dir    string `json:"dir"`
	Reason string `json:"reason"`
	Mend   string `json:"mend"`
}

func (d *Damaged) Error() string {
	return fmt.Sprintf("run %s is damaged: %s; %s", d.ID, d.Reason, d.Mend)
}

// damage says of a run's directory what is wrong with it, and how to mend it.
func damage(id, dir string, cause error) *Damaged {
	d := &Damaged{ID: id, Dir: dir, Reason: cause.Error(),
		Mend: fmt.Sprintf("move %s out of %s: it is needed for nothing but to go on with this run", dir, filepath.Dir(dir))}
	if errors.Is(cause, fs.ErrPermission) {
		d.Mend = fmt.Sprintf("call godwit as the user who began the run, or make %s readable", dir)
	}
	return d
}

// load reads a document of a unit into v; false when there is none. *Damaged
// when there is, and it cannot be read.
func (r *Run) load(u Unit, name string, v any) (bool, error) {
	ok, err := load(r.unitFile(u, name), v)
	if err != nil {
		err = damage(r.ID, r.dir, err)
	}
	return ok, err
}

// read returns the run of a directory; nil when it never began.
func (rs Runs) read(dir string) (*Run, error) {
	r := &Run{runs: rs, dir: dir}
	name := filepath.Base(dir)
	if err := errors.Join(private(rs.dir()), private(dir)); err != nil {
		d := damage(name, dir, err)
		d.Mend = "nothing in it is believed"
		return nil, d
	}
	there, err := load(filepath.Join(dir, "run.json"), r)
	switch {
	case err != nil:
	case !there:
		err = neverBegan(dir)
		if err == nil {
			return nil, nil
		}
	case safeName(r.ID) != name:
		err = fmt.Errorf("it is called %s, and its run.json is that of a run %q", name, r.ID)
	case r.Pipeline.Name == "" || len(r.Pipeline.Stages) == 0:
		err = errors.New("its run.json names no pipeline")
	}
	if err != nil {
		return nil, damage(name, dir, err)
	}
	return r, nil
}

// neverBegan is nil for a directory without a run.json when nothing else of a run
// is there either: the run was killed before it began.
func neverBegan(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if err == nil && !strings.HasPrefix(e.Name(), ".") {
			err = errors.New("its run.json is gone")
		}
	}
	return err
}

// All are the runs there are, oldest first, and those that cannot be read.
func (rs Runs) All() ([]*Run, []*Damaged, error) {
	entries, err := os.ReadDir(rs.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	all, broken := []*Run{}, []*Damaged{}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		r, err := rs.read(filepath.Join(rs.dir(), e.Name()))
		var d *Damaged
		switch {
		case errors.As(err, &d):
			broken = append(broken, d)
		case err != nil:
			return nil, nil, err
		case r != nil:
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *Run) int { return a.Started.Compare(b.Started) })
	return all, broken, nil
}

// States is how all runs stand, oldest first, and which cannot be read.
func (rs Runs) States() ([]State, []*Damaged, error) {
	all, broken, err := rs.All()
	if err != nil {
		return nil, nil, err
	}
	states := []State{}
	for _, r := range all {
		s, err := r.State()
		var d *Damaged
		switch {
		case errors.As(err, &d):
			broken = append(broken, d)
		case err != nil:
			return nil, nil, err
		default:
			states = append(states, s)
		}
	}
	return states, broken, nil
}

// siblings are the other runs of the same pipeline. A damaged run may be one of
// them, one that has deployed: nothing is done beside it.
func (r *Run) siblings() ([]*Run, error) {
	all, broken, err := r.runs.All()
	if err == nil && len(broken) > 0 {
		err = broken[0]
	}
	return slices.DeleteFunc(all, func(o *Run) bool { return o.ID == r.ID || !r.like(o) }), err
}

// like says whether two runs are of the same pipeline.
func (r *Run) like(o *Run) bool {
	return o.Landscape == r.Landscape && o.Pipeline.Name == r.Pipeline.Name
}
