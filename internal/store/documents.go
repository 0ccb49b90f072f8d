package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
)

// Put keeps v, as JSON, under kind and name, in place of what was there.
func (s *Store) Put(ctx context.Context, kind, name string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return about(err, kind, name)
	}
	_, err = s.writer.ExecContext(ctx, "INSERT OR REPLACE INTO documents (kind, name, body) VALUES (?, ?, ?)", kind, name, string(body))
	return about(err, kind, name)
}

// Get reads the document of that kind and name into v, which must be a pointer.
// It returns false, and leaves v alone, when there is none.
func (s *Store) Get(ctx context.Context, kind, name string, v any) (bool, error) {
	var body string
	err := s.reader.QueryRowContext(ctx, "SELECT body FROM documents WHERE kind = ? AND name = ?", kind, name).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, about(err, kind, name)
	}
	return true, about(json.Unmarshal([]byte(body), v), kind, name)
}

// List returns the names of the documents of a kind, sorted.
func (s *Store) List(ctx context.Context, kind string) ([]string, error) {
	names, err := collect(ctx, s.reader, scanName, "SELECT name FROM documents WHERE kind = ? ORDER BY name", kind)
	return names, about(err, "documents of kind", kind)
}

func scanName(rows *sql.Rows) (name string, err error) {
	err = rows.Scan(&name)
	return name, err
}

// Delete removes a document. No error when there is none.
func (s *Store) Delete(ctx context.Context, kind, name string) error {
	_, err := s.writer.ExecContext(ctx, "DELETE FROM documents WHERE kind = ? AND name = ?", kind, name)
	return about(err, kind, name)
}
