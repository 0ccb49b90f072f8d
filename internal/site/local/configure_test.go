//go:build linux

package local_test

import "testing"

// TestConfigure: a database's server takes up settings, is started again where one
// needs that, and keeps both them and its data; what it has already disturbs nobody.
func TestConfigure(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	_, err := b.connect().Exec(t.Context(), "create table kept as select 'here' as n")
	b.ok(err)
	started := func() string { return b.value("select pg_postmaster_start_time()::text") }
	before := started()
	b.ok(b.Configure(t.Context(), "test", "till", map[string]string{"max_slot_wal_keep_size": "64MB"}))
	if started() != before {
		t.Error("it was started again for a setting that does not need it")
	}
	b.await("the setting holds", func() bool { return b.value("select current_setting('max_slot_wal_keep_size')") == "64MB" })
	settings := map[string]string{"max_slot_wal_keep_size": "64MB", "max_locks_per_transaction": "222"}
	b.ok(b.Configure(t.Context(), "test", "till", settings))
	again := started()
	if again == before || b.value("select current_setting('max_locks_per_transaction')") != "222" {
		t.Error("it does not run with the new setting")
	}
	b.ok(b.Configure(t.Context(), "test", "till", settings))
	if started() != again {
		t.Error("it was started again for nothing")
	}
	if got := b.value("select n from kept"); got != "here" {
		t.Errorf("the data is %q", got)
	}
}
