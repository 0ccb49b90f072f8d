package migratetest

import (
	"fmt"
	"net/url"
	"path/filepath"
	"testing"

	local "godwit/internal/site/local/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
	"godwit/internal/testtool"
)

// Master is the administrator of a server like RDS's: no superuser.
const Master = "master"

// rdsRoles are what RDS documents of its roles, with the means of plain
// Postgres: rds_superuser is no superuser; the master user, a member, makes
// roles and databases and replicates. rdsadmin, who is one, belongs to AWS.
var rdsRoles = []string{
	"CREATE ROLE rds_superuser NOLOGIN",
	"GRANT pg_monitor, pg_signal_backend, pg_checkpoint, pg_create_subscription, pg_read_all_data, pg_write_all_data TO rds_superuser WITH ADMIN OPTION",
	"CREATE ROLE rds_replication NOLOGIN",
	"CREATE ROLE " + Master + " LOGIN CREATEROLE CREATEDB REPLICATION PASSWORD 'master'",
	"GRANT rds_superuser, rds_replication TO " + Master,
}

// rdsDatabase is what is granted in each database.
var rdsDatabase = []string{
	"GRANT EXECUTE ON FUNCTION pg_replication_origin_advance(text, pg_lsn), pg_replication_origin_progress(text, boolean) TO rds_superuser",
}

// StartRDS starts a server of Postgres 17 whose roles are set up like RDS's,
// with the database of the shop, empty, and its owner. Its Admin is the master user.
func StartRDS(t testing.TB) *Server {
	t.Helper()
	s := StartBareRDS(t)
	Exec(t, s.Admin, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'shop'", Owner),
		fmt.Sprintf("GRANT %s TO %s WITH INHERIT TRUE, SET TRUE", Owner, Master), "GRANT CREATE ON SCHEMA public TO "+Owner)
	s.App = as(t, s.Root, Owner, "shop")
	return s
}

// StartBareRDS is StartRDS as AWS gives it: nobody is there but the master.
func StartBareRDS(t testing.TB, options ...postgrestest.Option) *Server {
	t.Helper()
	options = append([]postgrestest.Option{postgrestest.With(Seventeen(t)),
		postgrestest.Config("wal_level", "logical"), postgrestest.Config("wal_retrieve_retry_interval", "200ms"),
		postgrestest.Config("max_worker_processes", "16"), postgrestest.Config("max_logical_replication_workers", "10")}, options...)
	server := postgrestest.StartForTest(t, options...)
	Exec(t, server.URL("postgres"), rdsRoles...)
	Exec(t, as(t, server.URL("postgres"), Master, "master"), "CREATE DATABASE "+database)
	Exec(t, server.URL(database), rdsDatabase...)
	return &Server{Admin: as(t, server.URL(database), Master, "master"), Root: server.URL(database), Port: server.Port, Pid: server.Pid, stop: server.Stop}
}

// Seventeen is Postgres 17, whatever the machine has.
func Seventeen(t testing.TB) local.Installation {
	t.Helper()
	return local.Installation{Bin: filepath.Dir(testtool.Find(t, "postgres17/bin/postgres")), Major: 17, Version: "17.10"}
}

func as(t testing.TB, admin, user, password string) string {
	t.Helper()
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}
