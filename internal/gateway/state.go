package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// stateFile keeps the last good table on disk: a line of JSON and a line with
// its checksum, because one wrong bit can make another table of it. What save
// returned for is there after a kill or a power cut.
type stateFile struct {
	path string
}

// load reads the last table. A file that cannot be understood is moved aside
// and reported, not fatal: a gateway without routes can be told them, one that
// does not start cannot.
func (f stateFile) load(log *slog.Logger) (Table, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return emptyTable(), nil
	}
	if err != nil {
		return Table{}, fmt.Errorf("read the gateway's table: %w", err)
	}
	t, err := parseTable(b)
	if err == nil {
		return t, nil
	}
	aside := fmt.Sprintf("%s.corrupt-%d", f.path, time.Now().UnixNano())
	log.Error("the gateway's table is corrupt; moved aside, starting without routes: set pools and routes again",
		"file", f.path, "aside", aside, "error", err)
	if err := os.Rename(f.path, aside); err != nil {
		return Table{}, fmt.Errorf("move the corrupt table aside: %w", err)
	}
	return emptyTable(), nil
}

func emptyTable() Table {
	return Table{Pools: map[string]Pool{}, Routes: map[string]Route{}}
}

func parseTable(b []byte) (Table, error) {
	var t Table
	line, sum, _ := bytes.Cut(b, []byte("\n"))
	if want := checksum(line); string(sum) != want {
		return Table{}, fmt.Errorf("its checksum is %.40q, it should be %q", sum, want)
	}
	if err := decodeStrict(bytes.NewReader(line), &t); err != nil {
		return Table{}, err
	}
	if t.Pools == nil || t.Routes == nil {
		return Table{}, errors.New("pools or routes missing")
	}
	return t, t.validate()
}

func checksum(line []byte) string {
	return fmt.Sprintf("crc32c %08x\n", crc32.Checksum(line, crc32.MakeTable(crc32.Castagnoli)))
}

// clone copies the maps; pools are values that are replaced whole.
func (t Table) clone() Table {
	t.Pools, t.Routes = maps.Clone(t.Pools), maps.Clone(t.Routes)
	return t
}

func (f stateFile) save(t Table) (err error) {
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode the gateway's table: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("save the gateway's table in %s (the change was not made): %w", f.path, err)
		}
	}()
	b = append(append(b, '\n'), checksum(b)...)
	temp := f.path + ".tmp"
	if err := writeSynced(temp, b); err != nil {
		return err
	}
	if err := os.Rename(temp, f.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
