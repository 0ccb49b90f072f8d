package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"godwit/internal/quote"
	"godwit/internal/site"
	"godwit/internal/site/local/warden"
)

// followEvery is how often a log is looked at for more.
const followEvery = 100 * time.Millisecond

// Logs calls line with what the instances of a service wrote, or a database of
// that name, or one instance of that id; "" means everything in the environment.
// Each text begins with its time, see runtime.LogTime, and is safe to show on a
// terminal. tail is the number of
// lines from the end of each log; negative means all that is kept. With follow
// it goes on until ctx ends, which is no error then.
func (s *Site) Logs(ctx context.Context, environment, service string, tail int, follow bool, line func(instance, text string)) error {
	r, err := s.load(environment)
	if err != nil {
		return err
	}
	ids := r.logsOf(service)
	if len(ids) == 0 && service != "" && r.Services[service] == nil {
		return fmt.Errorf("no service, database or instance %q in environment %s: %w", service, environment, site.ErrNotFound)
	}
	var one sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for _, id := range ids {
		emit := func(text string) {
			one.Lock()
			defer one.Unlock()
			line(id, quote.Terminal(text))
		}
		read := func() error { return readLog(ctx, s.wardenDir(environment), id, tail, follow, emit) }
		if !follow {
			if err := read(); err != nil {
				return err
			}
			continue
		}
		group.Go(read)
	}
	return group.Wait()
}

func (r *record) logsOf(name string) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(r.Instances)) {
		if name == "" || name == id || r.Instances[id].Service == name {
			ids = append(ids, id)
		}
	}
	for _, database := range slices.Sorted(maps.Keys(r.Databases)) {
		if name == "" || name == databaseID(database) || name == database && r.Services[name] == nil {
			ids = append(ids, databaseID(database))
		}
	}
	return ids
}

// readLog reads through a Root: the directory belongs to the warden, and no link
// in it may lead out.
func readLog(ctx context.Context, dir, id string, tail int, follow bool, emit func(string)) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	path := warden.LogFile("", id)
	before, err := root.ReadFile(path + ".1")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := root.Open(path)
	if errors.Is(err, os.ErrNotExist) && !follow {
		return nil
	}
	var text []byte
	if err == nil {
		defer func() { f.Close() }()
		text, err = io.ReadAll(f)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	lines := bytes.SplitAfter(append(before, text...), []byte("\n"))
	rest := lines[len(lines)-1] // a line that has not ended
	lines = lines[:len(lines)-1]
	if tail >= 0 {
		lines = lines[max(0, len(lines)-tail):]
	}
	for _, l := range lines {
		emit(strings.TrimSuffix(string(l), "\n"))
	}
	if !follow {
		if len(rest) > 0 {
			emit(string(rest))
		}
		return nil
	}
	return followLog(ctx, root, path, &f, rest, emit)
}

// followLog reads on, also over a rotation, until ctx ends.
func followLog(ctx context.Context, root *os.Root, path string, f **os.File, rest []byte, emit func(string)) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for {
			more, err := readMore(*f)
			if err != nil {
				return err
			}
			lines := bytes.SplitAfter(append(rest, more...), []byte("\n"))
			rest = lines[len(lines)-1]
			for _, l := range lines[:len(lines)-1] {
				emit(strings.TrimSuffix(string(l), "\n"))
			}
			next, err := root.Open(path)
			if err != nil {
				break // not there yet, or just rotated
			}
			if same(*f, next) {
				next.Close()
				break
			}
			if *f != nil {
				(*f).Close()
			}
			*f = next
		}
	}
}

func readMore(f *os.File) ([]byte, error) {
	if f == nil {
		return nil, nil
	}
	return io.ReadAll(f)
}

func same(a, b *os.File) bool {
	if a == nil {
		return false
	}
	x, err := a.Stat()
	y, err2 := b.Stat()
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// tail is the end of a file, at most size bytes, beginning with a whole line
// where the file is longer.
func tail(root *os.Root, path string, size int64) ([]byte, error) {
	f, err := root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-size)
	text, err := io.ReadAll(io.NewSectionReader(f, from, size))
	if i := bytes.IndexByte(text, '\n'); from > 0 && i >= 0 {
		text = text[i+1:]
	}
	return text, err
}
