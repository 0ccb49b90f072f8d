package migrate_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// several are databases of one server with a few tables each, and a server for each
// to move to.
type several struct {
	source  *migratetest.Server
	targets []*migratetest.Server
	pairs   []postgres.Pair
}

func startSeveral(t *testing.T, n int, options ...postgrestest.Option) several {
	s := several{source: migratetest.StartServer(t, options...)}
	for i := range n {
		name := fmt.Sprintf("shop%d", i)
		at := func(server *migratetest.Server) string {
			migratetest.Exec(t, server.Admin, "CREATE DATABASE "+name+" OWNER "+migratetest.Owner)
			return strings.Replace(server.Admin, "/shop?", "/"+name+"?", 1)
		}
		source := at(s.source)
		for table := range 6 {
			migratetest.Exec(t, source, fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, n int)", table), fmt.Sprintf("ALTER TABLE t%d OWNER TO %s", table, migratetest.Owner),
				fmt.Sprintf("INSERT INTO t%d SELECT i, %d FROM generate_series(1, 2000) i", table, i))
		}
		target := migratetest.StartServer(t)
		pair := migratetest.Pair(t, s.source, target)
		pair.Database, pair.Source, pair.Target = name, migratetest.Side(t, source), migratetest.Side(t, at(target))
		s.targets, s.pairs = append(s.targets, target), append(s.pairs, pair)
	}
	return s
}

func (s several) readers(t *testing.T) (all []*postgres.Reader) {
	for _, p := range s.pairs {
		all = append(all, migratetest.Reader(t, p))
	}
	return all
}

func (s several) writers(t *testing.T) (all []*postgres.Writer) {
	for _, p := range s.pairs {
		all = append(all, migratetest.Writer(t, p))
	}
	return all
}

func syncAll(t *testing.T, writers []*postgres.Writer) error {
	j := openJournal(t, filepath.Join(t.TempDir(), "journal.db"))
	_, err := j.Run(t.Context(), journal.Run{ID: "sync", Kind: migrate.KindSync, Subject: "x"}, migrate.SyncSteps(writers, nil), nil)
	return err
}

// TestDatabasesOfOneServer: with just as many senders and slots as check asks for, all
// are copied to servers of their own; their streams stand side by side.
func TestDatabasesOfOneServer(t *testing.T) {
	t.Parallel()
	const n = 6
	few := startSeveral(t, n, postgrestest.Config("max_replication_slots", "11"), postgrestest.Config("max_wal_senders", "7"))
	found, err := migrate.Check(t.Context(), few.readers(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"holds 6 databases of this migration, and has 11 replication slots free; they need 12", "has 7 WAL senders free; they need 8"} {
		if !strings.Contains(fmt.Sprint(found), want) {
			t.Errorf("no finding %q in %v", want, found)
		}
	}
	s := startSeveral(t, n, postgrestest.Config("max_replication_slots", "12"), postgrestest.Config("max_wal_senders", "8"))
	if found, err := migrate.Check(t.Context(), s.readers(t)); err != nil || len(found) > 0 {
		t.Fatalf("check: %v, %v", found, err)
	}
	writers := s.writers(t)
	if err := syncAll(t, writers); err != nil {
		t.Fatal(err)
	}
	for i, p := range s.pairs {
		url := strings.Replace(s.targets[i].Admin, "/shop?", "/"+p.Database+"?", 1)
		if got := migratetest.Text(t, url, "SELECT (SELECT sum(n) FROM t0) || ' ' || (SELECT count(*) FROM t5)"); got != fmt.Sprintf("%d 2000", 2000*i) {
			t.Errorf("%s: %s", p.Database, got)
		}
	}
	if err := migrate.Abort(t.Context(), writers); err != nil {
		t.Error(err)
	}
}

// TestOneDatabaseFails: the others are synced all the same, and the error names it.
func TestOneDatabaseFails(t *testing.T) {
	t.Parallel()
	s := startSeveral(t, 3, postgrestest.Config("max_replication_slots", "20"), postgrestest.Config("max_wal_senders", "20"))
	s.targets[1].Stop()
	writers := s.writers(t)
	began := time.Now()
	err := syncAll(t, writers)
	if err == nil || !strings.Contains(err.Error(), "shop1") {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	for _, i := range []int{0, 2} {
		status, err := migratetest.Reader(t, s.pairs[i]).Status(t.Context())
		if err != nil || status.Phase != postgres.Synced {
			t.Errorf("%s: %+v, %v", s.pairs[i].Database, status, err)
		}
	}
	if err := migrate.Abort(t.Context(), []*postgres.Writer{writers[0], writers[2]}); err != nil {
		t.Error(err)
	}
}
