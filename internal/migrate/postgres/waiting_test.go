package postgres_test

import (
	"strings"
	"testing"
	"time"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// TestSyncSaysForWhomItWaits: a slot waits for every transaction of the server that
// writes, in whichever database: dimitri/pgcopydb#819.
func TestSyncSaysForWhomItWaits(t *testing.T) {
	t.Parallel()
	source, target := migratetest.StartServer(t), migratetest.StartServer(t)
	source.Fill(t, 10)
	migratetest.Exec(t, source.Admin, "CREATE DATABASE accounts")
	accounts := strings.Replace(source.Admin, "/shop?", "/accounts?application_name=closing&", 1)
	b := migratetest.Writer(t, migratetest.Pair(t, source, target))
	conn := connect(t, accounts)
	for _, who := range []struct {
		name, want string
		begin, end []string
	}{
		{"session", "(closing, role godwit, database accounts), open for ", []string{"BEGIN", "CREATE TABLE a (id int)"}, []string{"ROLLBACK"}},
		{"prepared transaction", "prepared transaction half (role godwit, database accounts), open for ",
			[]string{"BEGIN", "CREATE TABLE a (id int)", "PREPARE TRANSACTION 'half'"}, []string{"ROLLBACK PREPARED 'half'"}},
	} {
		do := func(statements []string) {
			for _, statement := range statements {
				if _, err := conn.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
		}
		do(who.begin)
		said := make(chan string, 1)
		synced := make(chan error, 1)
		go func() {
			synced <- b.Sync(t.Context(), func(p postgres.Progress) {
				if strings.HasPrefix(p.Stage, "waits for ") {
					select {
					case said <- p.Stage:
					default:
					}
				}
			})
		}()
		select {
		case got := <-said:
			if !strings.Contains(got, who.want) {
				t.Errorf("%s: %q, want %q in it", who.name, got, who.want)
			}
		case err := <-synced:
			t.Fatalf("%s: it did not wait: %v", who.name, err)
		case <-time.After(time.Minute):
			t.Errorf("%s: it waits for nobody that it names", who.name)
		}
		do(who.end)
		if err := <-synced; err != nil {
			t.Fatal(err)
		}
		if err := b.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
