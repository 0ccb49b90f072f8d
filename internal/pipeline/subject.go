package pipeline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"godwit/internal/landscape"
)

// Subject is what an approval is for. An approval of something else does not count.
type Subject struct {
	Landscape string            `json:"landscape"`        // digest of its files
	Source    string            `json:"source,omitempty"` // commit, and digest of what differs from it; "" outside of git
	Images    map[string]string `json:"images,omitempty"` // digests of what was built until then, by service
	Site      string            `json:"site"`
	Bake      []string          `json:"bake,omitempty"`
}

// Digest names the subject.
func (s Subject) Digest() string {
	text, _ := json.Marshal(s) // it cannot fail
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// changed says what of the subject is another now; "" when nothing is. Images that
// were not built yet are no change.
func (s Subject) changed(now Subject) string {
	var words []string
	differs := func(what, was, is string) {
		if was != is {
			words = append(words, fmt.Sprintf("%s was %s, and is %s", what, cmp.Or(was, "none"), cmp.Or(is, "none")))
		}
	}
	differs("the landscape", s.Landscape, now.Landscape)
	differs("the source", s.Source, now.Source)
	differs("the site", s.Site, now.Site)
	differs("how it is baked", strings.Join(s.Bake, " "), strings.Join(now.Bake, " "))
	for _, service := range slices.Sorted(maps.Keys(s.Images)) {
		differs("the image of "+service, s.Images[service], now.Images[service])
	}
	return strings.Join(words, "; ")
}

// subject is what the run is about at this moment.
func (r *Run) subject(ctx context.Context, d Drive) (Subject, error) {
	s := Subject{Landscape: r.Digest, Images: map[string]string{}, Site: r.Site, Bake: r.Bake}
	var err error
	if d.Digest != nil {
		if s.Landscape, err = d.Digest(); err != nil {
			return s, err
		}
	}
	if s.Source, err = source(ctx, r.Dir); err != nil {
		return s, fmt.Errorf("what state the source in %s is in: %w", r.Dir, err)
	}
	for i, stage := range r.Pipeline.Stages {
		if !stage.Build {
			continue
		}
		for _, u := range units(r.Pipeline, i) {
			res, err := r.result(u)
			if err != nil {
				return s, err
			}
			if res.Status != Done {
				continue
			}
			if s.Images[u.Service], err = imageDigest(r.imageDir(u.Service)); err != nil {
				s.Images[u.Service] = "gone or damaged"
			}
		}
	}
	return s, nil
}

// source names the state of a working copy: its commit, and a digest of what
// differs from it, new files included. "" where there is no git. A working copy that
// git refuses to read, as one of another user, is an error: an approval must not
// count for a source that nobody looked at.
func source(ctx context.Context, dir string) (string, error) {
	if there, err := versioned(dir); !there {
		return "", err
	}
	commit, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", "HEAD")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return "", nil // nothing was committed yet
	}
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	differences, err := git(ctx, dir, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv")
	if err != nil {
		return "", err
	}
	sum.Write(differences)
	// What Jenkins keeps of the logs lies in its workspace.
	fresh, err := git(ctx, dir, "ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", ":/", ":(top,exclude)godwit-logs")
	if err != nil {
		return "", err
	}
	top, err := git(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(fresh), "\x00"), "\x00") {
		if name != "" {
			if err := sumFile(sum, strings.TrimSuffix(string(top), "\n"), name); err != nil {
				return "", err
			}
		}
	}
	name := strings.TrimSpace(string(commit))
	if len(differences)+len(fresh) > 0 {
		name += "+" + hex.EncodeToString(sum.Sum(nil))[:16]
	}
	return name, nil
}

// versioned says whether dir is in a working copy.
func versioned(dir string) (bool, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false, err
	}
	for {
		_, err := os.Lstat(filepath.Join(dir, ".git"))
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return err == nil, err
		}
		if dir == filepath.Dir(dir) {
			return false, nil
		}
		dir = filepath.Dir(dir)
	}
}

func sumFile(sum io.Writer, top, name string) error {
	path := filepath.Join(top, name)
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(sum, "\x00%s\x00%o\x00", name, info.Mode())
	if info.Mode()&os.ModeSymlink != 0 {
		to, err := os.Readlink(path)
		fmt.Fprint(sum, to)
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(sum, f)
	return err
}

// git asks a working copy, and changes nothing in it.
func git(ctx context.Context, dir string, words ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, words...)...)
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("git %s: %w: %s", words[0], err, strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}

// usesSource says that a stage reads the source again.
func usesSource(s landscape.Stage) bool { return s.Run != nil || s.Build }
