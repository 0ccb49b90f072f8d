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

func (s *Site) fill(ctx context.Context, name string, values map[string]string) (bool, error) {
	known, err := s.describeSecret(ctx, name)
	if err != nil || filled(known) {
		return false, err
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

// describeSecret refuses one that is to be deleted.
func (s *Site) describeSecret(ctx context.Context, name string) (*secretsmanager.DescribeSecretOutput, error) {
	known, err := s.clients.SecretsManager.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &name})
	if err != nil {
		return nil, explain("looking for secret "+name, err)
	}
	if known.DeletedDate != nil {
		return nil, fmt.Errorf("secret %s is to be deleted: restore it, `aws secretsmanager restore-secret --secret-id %s`: %w", name, name, site.ErrInvalid)
	}
	return known, nil
}

// filled: it has a value.
func filled(known *secretsmanager.DescribeSecretOutput) bool {
	for _, stages := range known.VersionIdsToStages {
		if slices.Contains(stages, currentLabel) {
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
	values, err := s.read(ctx, id, "")
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

// read reads a version of a secret that is a JSON object, the current one when
// it is "". What it holds is in no error.
func (s *Site) read(ctx context.Context, id, version string) (map[string]string, error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &id}
	if version != "" {
		in.VersionId = &version
	}
	out, err := s.clients.SecretsManager.GetSecretValue(ctx, in)
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
