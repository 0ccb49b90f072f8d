package postgres

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Where PostgreSQL writes a cluster's system identifier, the same from 11 to 18:
// first in ControlFileData (src/include/catalog/pg_control.h), and in the long header
// of each WAL segment's first page (src/include/access/xlog_internal.h).
const (
	controlSize = 8192
	longHeader  = 0x0002 // XLP_LONG_HEADER in xlp_info
	walInfo     = 2
	walSysid    = 24
)

// newIdentifier is made as initdb makes one: the second in its upper half; the lower
// is by chance, because several clusters are prepared within a millisecond.
func newIdentifier() (uint64, error) {
	var low [4]byte
	if _, err := rand.Read(low[:]); err != nil {
		return 0, err
	}
	return uint64(time.Now().Unix())<<32 | uint64(binary.NativeEndian.Uint32(low[:])), nil
}

// identify gives the cluster in dataDir, which has ended cleanly, a system identifier
// of its own. Copies of one template have the same, and the slots from which tables
// are copied bear it and object ids that are equal too: those of two databases of one
// source would collide there. pg_createsubscriber does it in the same two places.
func identify(dataDir string) error {
	id, err := newIdentifier()
	if err != nil {
		return err
	}
	old, err := identifyControl(filepath.Join(dataDir, "global/pg_control"), id)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(dataDir, "pg_wal"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !segmentName.MatchString(e.Name()) {
			continue
		}
		if err := identifySegment(filepath.Join(dataDir, "pg_wal", e.Name()), old, id); err != nil {
			return err
		}
	}
	return nil
}

var segmentName = regexp.MustCompile("^[0-9A-F]{24}$")

func identifyControl(path string, id uint64) (old uint64, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	sum, err := checksumAt(b)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	old = binary.NativeEndian.Uint64(b)
	binary.NativeEndian.PutUint64(b, id)
	binary.NativeEndian.PutUint32(b[sum:], crc32.Checksum(b[:sum], castagnoli))
	return old, rewrite(path, b, 0)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumAt is where the checksum of a control file is: behind all else, at a place
// that differs from major to major, and right for everything before it.
func checksumAt(control []byte) (int, error) {
	if len(control) != controlSize {
		return 0, fmt.Errorf("%d bytes long, want %d", len(control), controlSize)
	}
	for at := 128; at < 512; at += 4 {
		if crc32.Checksum(control[:at], castagnoli) == binary.NativeEndian.Uint32(control[at:]) {
			return at, nil
		}
	}
	return 0, errors.New("no checksum in it is right")
}

func identifySegment(path string, old, id uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	header := make([]byte, walSysid+8)
	_, err = f.ReadAt(header, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if binary.NativeEndian.Uint16(header[walInfo:])&longHeader == 0 || binary.NativeEndian.Uint64(header[walSysid:]) != old {
		return fmt.Errorf("%s is no WAL segment of this cluster", path)
	}
	binary.NativeEndian.PutUint64(header[walSysid:], id)
	return rewrite(path, header[walSysid:], walSysid)
}

func rewrite(path string, b []byte, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Close())
}
