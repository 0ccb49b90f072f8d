package store

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
)

const (
	applicationID = 0x67647774 // "gdwt", in SQLite's application_id: this file is ours
	schemaVersion = 1          // of the newest file under schema/
)

var magic = []byte("SQLite format 3\x00")

// identify refuses a file that is not a sound store of this or an older
// version. It only reads. An empty file is a store that is yet to be made; one
// that is up to date needs nothing written, which a full disk would not take.
func identify(ctx context.Context, db *sql.DB, path string) (upToDate bool, err error) {
	empty, err := recognise(path)
	if empty || err != nil {
		return false, err
	}
	var tables, id int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return false, corrupt(path, err.Error())
	}
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return false, corrupt(path, err.Error())
	}
	if id != applicationID && (tables > 0 || id != 0) {
		return false, foreign(path, "a database of another program")
	}
	if tables == 0 {
		return false, nil
	}
	if err := sound(ctx, db, path); err != nil {
		return false, err
	}
	return known(ctx, db, path)
}

// recognise looks at the first bytes.
func recognise(path string) (empty bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	defer file.Close()
	head := make([]byte, len(magic))
	n, err := io.ReadFull(file, head)
	switch {
	case n == 0 && err == io.EOF:
		return true, nil
	case err != nil && err != io.ErrUnexpectedEOF:
		return false, fmt.Errorf("store: reading %s: %w", path, err)
	case !bytes.Equal(head, magic):
		return false, foreign(path, "not a SQLite database")
	}
	return false, nil
}

func sound(ctx context.Context, db *sql.DB, path string) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return corrupt(path, err.Error())
	}
	if verdict != "ok" {
		return corrupt(path, verdict)
	}
	return nil
}

// known compares the schema's version. A store that crashed before its first
// migration has no version table yet.
func known(ctx context.Context, db *sql.DB, path string) (upToDate bool, err error) {
	var tables int
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'").Scan(&tables)
	if err != nil {
		return false, corrupt(path, err.Error())
	}
	if tables == 0 {
		return false, foreign(path, "it has tables but no version")
	}
	var version int
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&version)
	if err != nil {
		return false, corrupt(path, err.Error())
	}
	if version > schemaVersion {
		return false, fmt.Errorf("%w: %s has schema %d, this one knows %d: run the newer godwit, or open another file",
			ErrNewer, path, version, schemaVersion)
	}
	return version == schemaVersion, nil
}

func foreign(path, why string) error {
	return fmt.Errorf("%w: %s (%s): choose another path, or move the file away", ErrForeign, path, why)
}

func corrupt(path, why string) error {
	return fmt.Errorf("%w: %s (%s): move it away with its -wal and -shm files and restore a copy", ErrCorrupt, path, why)
}
