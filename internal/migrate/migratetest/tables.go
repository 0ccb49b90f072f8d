package migratetest

import (
	"fmt"
	"testing"
)

// Tables makes many tables in a database, each with a key that a sequence counts, a
// view for every tenth and two rows; some at a time, for servers that have room for
// few locks.
func (s *Server) Tables(t testing.TB, n int) {
	t.Helper()
	Exec(t, s.App, fmt.Sprintf(`DO $$
BEGIN
	FOR i IN 1..%d LOOP
		EXECUTE format('CREATE TABLE part_%%s (id bigserial PRIMARY KEY, note text)', i);
		EXECUTE format('INSERT INTO part_%%s (note) VALUES (%%L), (%%L)', i, 'one', 'two');
		IF i %% 10 = 0 THEN
			EXECUTE format('CREATE VIEW seen_%%s AS SELECT count(*) FROM part_%%1$s', i);
		END IF;
		COMMIT;
	END LOOP;
END $$`, n))
}
