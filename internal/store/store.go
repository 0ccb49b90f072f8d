// Package store is the engine's durable state in one SQLite file: the runs of
// the journal, the releases and deployments of every service, and documents,
// which are small JSON values by kind and name.
//
// What a method has written survives a crash of the process and of the machine
// (write-ahead log, synced at every commit). One engine at a time has a store
// open; its reads never wait for its writes. A file that is damaged, foreign or
// newer than this program is refused, never overwritten.
//
// Journal and engine may import it.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"godwit/internal/lockfile"
)

// Errors of a store. Open returns the first four, wrapped with the path and a mend.
var (
	ErrLocked   = errors.New("store is in use by another engine")
	ErrForeign  = errors.New("file is not a store of godwit")
	ErrCorrupt  = errors.New("store is damaged")
	ErrNewer    = errors.New("store was written by a newer godwit")
	ErrNotFound = errors.New("not in the store")
	ErrExists   = errors.New("already in the store")
)

//go:embed schema/*.sql
var schema embed.FS

// Store is an open store. Its methods may be called from many goroutines.
type Store struct {
	reader *sql.DB // many connections, read-only
	writer *sql.DB // one connection: writes queue here instead of failing
	lock   *lockfile.Lock
}

// Open opens the store at path, making it (mode 0600) when it is not there, and
// brings an older schema up to date. Close gives it back.
func Open(path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock}
	if err := s.open(path); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(path string) error {
	ctx := context.Background()
	if err := private(path); err != nil {
		return err
	}
	var err error
	if s.reader, err = sql.Open("sqlite", dsn(path, "mode=ro")); err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	s.reader.SetMaxOpenConns(4)
	upToDate, err := identify(ctx, s.reader, path)
	if err != nil {
		return err
	}
	options := []string{"_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=synchronous(FULL)", "_pragma=foreign_keys(1)",
		"_pragma=secure_delete(1)"} // what is deleted or replaced leaves no bytes behind
	if !upToDate {
		// Order matters: the identity is written before anything else, so that a
		// crash right after it leaves a file that is recognised as ours.
		options = slices.Insert(options, 1, fmt.Sprintf("_pragma=application_id(%d)", applicationID))
	}
	s.writer, err = sql.Open("sqlite", dsn(path, options...))
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	s.writer.SetMaxOpenConns(1)
	if upToDate {
		return nil
	}
	return s.migrate(ctx, path)
}

// migrate brings the schema up to date; identify has refused newer ones.
func (s *Store) migrate(ctx context.Context, path string) error {
	files, err := fs.Sub(schema, "schema")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer, files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("store %s: bringing its schema up to date: %w", path, err)
	}
	return nil
}

// Close ends all work on the store and lets another engine open it.
func (s *Store) Close() error {
	var errs []error
	// Readers first: the last connection to close folds the log into the file,
	// which a read-only one cannot.
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Unlock())...)
}

// write runs f in one transaction of the single writer.
func (s *Store) write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// private makes sure that the file exists and that only its owner may read it;
// SQLite gives the files beside it the same mode.
func private(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, syscall.EROFS) {
		return nil // what is there can be read
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return errors.Join(file.Chmod(0o600), file.Close())
}

func dsn(path string, options ...string) string {
	query := "_pragma=busy_timeout(5000)"
	for _, o := range options {
		query += "&" + o
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query}).String()
}

// stamp and moment keep instants as nanoseconds, 0 for none.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
