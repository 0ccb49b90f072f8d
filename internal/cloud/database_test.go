package cloud_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"godwit/internal/migrate/migratetest"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/convention"
	"godwit/internal/site/local/postgres"
	"godwit/internal/site/local/postgres/postgrestest"
)

// realRDS answers with the address of a real Postgres, whose roles are RDS's.
type realRDS struct{ port int }

const masterSecret = "rds!db-master"

func (r realRDS) DescribeDBInstances(context.Context, *rds.DescribeDBInstancesInput, ...func(*rds.Options)) (*rds.DescribeDBInstancesOutput, error) {
	return &rds.DescribeDBInstancesOutput{DBInstances: []types.DBInstance{{DBInstanceStatus: sdk.String("available"), DBName: sdk.String("shop"),
		Endpoint:         &types.Endpoint{Address: sdk.String("127.0.0.1"), Port: sdk.Int32(int32(r.port))},
		MasterUserSecret: &types.MasterUserSecret{SecretArn: sdk.String(masterSecret)}}}}, nil
}

// realSecrets has the master's, as RDS keeps it.
type realSecrets struct{ aws.SecretsManager }

func (s realSecrets) GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, o ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	if *in.SecretId == masterSecret {
		return &secretsmanager.GetSecretValueOutput{SecretString: sdk.String(`{"username": "master", "password": "master"}`)}, nil
	}
	return s.SecretsManager.GetSecretValue(ctx, in, o...)
}

// TestPrepareDatabases: whoever reads the secret can work in the database, as a
// role that owns what it makes and is no superuser; no password is in the log.
func TestPrepareDatabases(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	logs := filepath.Join(t.TempDir(), "log")
	server := migratetest.StartBareRDS(t, postgrestest.Config("ssl", "on"), postgrestest.Config("ssl_cert_file", cert), postgrestest.Config("ssl_key_file", key),
		postgrestest.Config("log_statement", "all"), postgrestest.Change(func(o *postgres.ServerOptions) { o.LogFile = logs }))
	fake := applied(t)
	c := openClients(t, aws.Clients{AutoScaling: fake.AutoScaling(), EC2: fake.EC2(), LoadBalancing: fake.LoadBalancing(), RDS: realRDS{server.Port},
		SecretsManager: realSecrets{fake.SecretsManager()}, S3: fake.S3(), STS: fake.STS()}, quiet())
	var both sync.WaitGroup
	filled := make([]bool, 2)
	for i := range filled { // two at once: one fills it
		both.Go(func() {
			all, err := c.PrepareDatabases(t.Context(), "test", "", "")
			if err != nil || len(all) != 1 {
				t.Errorf("%+v, %v", all, err)
				return
			}
			filled[i] = all[0].Filled
		})
	}
	both.Wait()
	if filled[0] == filled[1] {
		t.Errorf("filled by %v", filled)
	}
	secret := secretOf(t, fake, convention.Scope{Landscape: "bistro", Environment: "test"}.DatabaseSecret("till"))
	u, err := url.Parse(secret["url"])
	if err != nil || u.Host != "till.db.internal:5432" {
		t.Fatalf("url of the secret: %v", err)
	}
	address, err := url.Parse(server.Root)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address.Host // what the private zone would say
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, statement := range []string{"CREATE TABLE receipt (id int PRIMARY KEY)", "INSERT INTO receipt VALUES (1)", "CREATE SCHEMA back"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	var super bool
	if err := conn.QueryRow(t.Context(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&super); err != nil || super {
		t.Errorf("superuser: %t, %v", super, err)
	}
	log, err := os.ReadFile(logs)
	if err != nil || !strings.Contains(string(log), "SCRAM-SHA-256$") || strings.Contains(string(log), secret["password"]) {
		t.Errorf("the server's log (%d bytes, %v) has the password, or no statement", len(log), err)
	}
}

func secretOf(t *testing.T, fake *awsfake.Cloud, name string) map[string]string {
	t.Helper()
	out, err := fake.SecretsManager().GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	if err := json.Unmarshal([]byte(*out.SecretString), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// certificate is one for the server, readable by the id that it runs as.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "godwit-tls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(path, postgres.DefaultID, postgres.DefaultID); err != nil {
				t.Fatal(err)
			}
		}
	}
	return cert, key
}
