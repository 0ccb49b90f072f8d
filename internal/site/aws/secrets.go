package aws

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"godwit/internal/site"
)

// FillSecret puts what services connect to a database with into its secret, once:
// a secret that has a value keeps it, for instances run with it. It says whether
// it put something.
func (s *Site) FillSecret(ctx context.Context, environment, database string, values map[string]string) (bool, error) {
	return s.fill(ctx, s.scope(environment).DatabaseSecret(database), values)
}

// FillServiceSecret puts what a service's env takes from env.NAME, whenever it is
// something else than before. It says whether it put something.
func (s *Site) FillServiceSecret(ctx context.Context, environment, service string, values map[string]string) (bool, error) {
	name := s.scope(environment).ServiceSecret(service)
	put, err := s.fill(ctx, name, values)
	if err != nil || put {
		return put, err
	}
	before, err := s.read(ctx, name)
	if err != nil || maps.Equal(before, values) {
		return false, err
	}
	body, err := json.Marshal(values)
	if err != nil {
		return false, err
	}
	_, err = s.clients.SecretsManager.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: aws.String(string(body))})
	return err == nil, explain("filling secret "+name, err)
}

func (s *Site) fill(ctx context.Context, name string, values map[string]string) (bool, error) {
	known, err := s.clients.SecretsManager.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &name})
	if err != nil {
		return false, explain("looking for secret "+name, err)
	}
	if known.DeletedDate != nil {
		return false, fmt.Errorf("secret %s is to be deleted: restore it, `aws secretsmanager restore-secret --secret-id %s`: %w", name, name, site.ErrInvalid)
	}
	if filled(known) {
		return false, nil
	}
	body, err := json.Marshal(values)
	if err != nil {
		return false, err
	}
	// The same token for whoever fills it first: of two at once AWS takes one.
	_, err = s.clients.SecretsManager.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name,
		SecretString: aws.String(string(body)), ClientRequestToken: aws.String(firstToken(name))})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "ResourceExistsException" {
		return false, nil
	}
	return err == nil, explain("filling secret "+name, err)
}

// filled: it has a value.
func filled(known *secretsmanager.DescribeSecretOutput) bool {
	for _, stages := range known.VersionIdsToStages {
		if slices.Contains(stages, "AWSCURRENT") {
			return true
		}
	}
	return false
}

// firstToken has the form of a UUID, which is what AWS wants.
func firstToken(name string) string {
	h := sha256.Sum256([]byte("godwit first value of " + name))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// secret reads one that holds credentials.
func (s *Site) secret(ctx context.Context, id string) (map[string]string, error) {
	values, err := s.read(ctx, id)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for _, key := range []string{"username", "password"} {
		if values[key] == "" {
			lacking = append(lacking, key)
		}
	}
	if len(lacking) > 0 {
		return nil, fmt.Errorf("secret %s has no %s, only %s", id, strings.Join(lacking, " and no "), strings.Join(slices.Sorted(maps.Keys(values)), ", "))
	}
	return values, nil
}

// read reads a secret that is a JSON object. What it holds is in no error.
func (s *Site) read(ctx context.Context, id string) (map[string]string, error) {
	out, err := s.clients.SecretsManager.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return nil, explain("reading secret "+id, err)
	}
	var raw map[string]any
	if json.Unmarshal([]byte(aws.ToString(out.SecretString)), &raw) != nil {
		return nil, fmt.Errorf("secret %s is no JSON object", id)
	}
	values := map[string]string{}
	for key, v := range raw {
		values[key] = fmt.Sprint(v)
	}
	return values, nil
}
