package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// command is what a worker runs.
type command struct {
	args  []string // of godwit, or a program of the user's when own is set
	own   bool
	dir   string
	empty string // directory that must not be there when it begins
	temp  string // directory for its temporary files, which goes when it ends
}

// command of a unit; skip says, instead, why there is nothing to do.
func (r *Run) command(u Unit) (c command, skip string, err error) {
	place, err := siteOf(r.Site)
	if err != nil {
		return c, "", err
	}
	s, image := r.Pipeline.Stages[u.Stage], r.imageDir(u.Service)
	c.dir = r.Dir
	switch {
	case s.Run != nil:
		c.own, c.args, c.dir = true, s.Run.Command, filepath.Join(r.Dir, s.Run.Dir)
	case s.Build:
		c.args, c.empty = []string{"build", u.Service, "--dir", r.Dir, "--out", image}, image
	case s.Bake && !place.bakes:
		return c, fmt.Sprintf("site %s runs the images themselves: there is nothing to bake", r.Site), nil
	case s.Bake:
		c.args = append([]string{"aws", "bake", u.Service, "--dir", r.Dir, "--image", image}, r.Bake...)
	case s.Deploy != "":
		c.args = append(slices.Clone(place.deploy), u.Service, "--env", s.Deploy, "--image", image)
		if place.bakes {
			c.args = append(c.args, "--dir", r.Dir)
		}
	case s.Probe != nil:
		c.temp = r.unitFile(u, "tmp") // its ledger: killed, it leaves nothing that no prune removes
		c.args = append([]string{"probe", s.Probe.Probe, "--dir", r.Dir, "--env", s.Probe.Environment,
			"--duration", s.Probe.Duration.String(), "--rate", strconv.Itoa(s.Probe.Rate)}, place.probe...)
	default:
		return c, "", fmt.Errorf("stage %q has nothing to run", s.Name)
	}
	if !c.own {
		c.args = append(c.args, "--state", r.runs.state)
	}
	if s.Bake || s.Deploy != "" {
		err = r.sameImage(u.Service)
	}
	return c, "", err
}

// environment of a unit's command. Jenkins ends what carries its cookies when a
// build ends; what godwit starts (an engine) must outlive that.
func (r *Run) environment(u Unit) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "JENKINS_NODE_COOKIE" || name == "JENKINS_SERVER_COOKIE" || name == "SERVICE"
	})
	env = append(env, "GODWIT_RUN="+r.ID, "GODWIT_STAGE="+u.Title, unitMark+"="+r.mark(u))
	if u.Service != "" {
		env = append(env, "SERVICE="+u.Service)
	}
	return env
}

// unitMark is the variable by which a unit's processes are known again.
const unitMark = "GODWIT_UNIT"

func (r *Run) mark(u Unit) string { return r.unitDir(u) }

// imageDigest is that of a layout that holds one image.
func imageDigest(layout string) (string, error) {
	var index struct {
		Manifests []struct {
			Digest string `json:"digest"`
		} `json:"manifests"`
	}
	text, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	if err == nil && (len(index.Manifests) != 1 || index.Manifests[0].Digest == "") {
		err = errors.New("its index.json names not exactly one image")
	}
	if err != nil {
		return "", fmt.Errorf("%s is not the layout of an image: %w", layout, err)
	}
	return index.Manifests[0].Digest, nil
}

// sameImage refuses to go on with another image than the one that was built.
func (r *Run) sameImage(service string) error {
	built, err := r.built(service)
	if err != nil {
		return err
	}
	found, err := imageDigest(r.imageDir(service))
	if err != nil {
		return fmt.Errorf("the image that run %s built of %s is gone or damaged: %w; begin a new run", r.ID, service, err)
	}
	if found != built {
		return fmt.Errorf("the image of %s was built as %s, and %s has %s now: begin a new run", service, built, r.imageDir(service), found)
	}
	return nil
}

// built is the digest of the image that this run's build stage made.
func (r *Run) built(service string) (string, error) {
	for i, s := range r.Pipeline.Stages {
		if !s.Build {
			continue
		}
		res, err := r.result(Unit{Stage: i, Title: s.Name, Service: service})
		if err != nil || res.Status == Done {
			return res.Image, err
		}
	}
	return "", fmt.Errorf("run %s has built no image of %s", r.ID, service)
}

func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
