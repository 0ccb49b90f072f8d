package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// SecretFilled says whether the secret of a database has a value.
func (s *Site) SecretFilled(ctx context.Context, environment, database string) (bool, error) {
	name := s.scope(environment).DatabaseSecret(database)
	known, err := s.clients.SecretsManager.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &name})
	if err != nil {
		return false, explain("looking for secret "+name, err)
	}
	return filled(known), nil
}
