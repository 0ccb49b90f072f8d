package aws

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws/awstest"
)

// TestSecretsAreFilledOnce, on moto: Terraform makes the secret empty; the first
// value stays.
func TestSecretsAreFilledOnce(t *testing.T) {
	t.Parallel()
	cfg := awstest.StartMoto(t).Config(t)
	s := New(NewClients(cfg), Options{Landscape: &landscape.Landscape{Name: "bistro"}, Region: awstest.Region})
	client := secretsmanager.NewFromConfig(cfg)
	if _, err := s.FillSecret(t.Context(), "test", "till", nil); !errors.Is(err, site.ErrNotFound) {
		t.Errorf("a secret that is not there: %v", err)
	}
	for _, name := range []string{"bistro/test/database/till", "bistro/test/service/till"} {
		if _, err := client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(name)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		password string
		filled   bool
	}{{"first", true}, {"first", false}, {"second", false}} {
		filled, err := s.FillSecret(t.Context(), "test", "till", map[string]string{"username": "till", "password": c.password})
		if err != nil || filled != c.filled {
			t.Errorf("%s: filled %v, %v", c.password, filled, err)
		}
	}
	values, err := s.secret(t.Context(), "bistro/test/database/till")
	if err != nil || values["password"] != "first" {
		t.Errorf("%v, %v", values, err)
	}
	if _, err := s.FillServiceSecret(t.Context(), "test", "till", map[string]string{"TOKEN": "hush"}, nil); err != nil {
		t.Error(err)
	}
	if _, err := s.secret(t.Context(), "bistro/test/service/till"); err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "TOKEN") {
		t.Errorf("a secret without a password: %v", err)
	}
}

// TestDatabaseAccess, on moto: the master's password is that which RDS keeps.
func TestDatabaseAccess(t *testing.T) {
	t.Parallel()
	cfg := awstest.StartMoto(t).Config(t)
	s := New(NewClients(cfg), Options{Landscape: &landscape.Landscape{Name: "bistro"}, Region: awstest.Region, DatabaseCA: "/etc/rds.pem"})
	if _, err := s.Database(t.Context(), "test", "till"); !errors.Is(err, site.ErrNotFound) {
		t.Errorf("a database that is not there: %v", err)
	}
	if _, err := rds.NewFromConfig(cfg).CreateDBInstance(t.Context(), &rds.CreateDBInstanceInput{
		DBInstanceIdentifier: aws.String("bistro-test-till"), Engine: aws.String("postgres"), DBInstanceClass: aws.String("db.t4g.small"),
		AllocatedStorage: aws.Int32(20), MasterUsername: aws.String("godwit"), ManageMasterUserPassword: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	access, err := s.Database(t.Context(), "test", "till")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(access.URL)
	if err != nil {
		t.Fatal("the URL cannot be read")
	}
	password, _ := u.User.Password()
	if u.Scheme != "postgres" || u.Path != "/till" || password == "" || u.User.Username() == "" || u.Port() == "" ||
		u.Query().Get("sslmode") != "verify-full" || u.Query().Get("sslrootcert") != "/etc/rds.pem" || access.Owner != "till" || access.Dial == nil {
		t.Errorf("%s of %s", u.Redacted(), access.Owner)
	}
}
