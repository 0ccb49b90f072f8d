package awsfake

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const secretsID = "Secrets Manager"

// SecretsManager is the client of secrets.
type SecretsManager struct{ c *Cloud }

// SecretsManager returns a client.
func (c *Cloud) SecretsManager() SecretsManager { return SecretsManager{c} }

type secret struct {
	name, arn string
	values    []string
	versions  []string // their ids
	tags      tags
}

func (s *secret) put(c *Cloud, token, value *string) string {
	id := aws.ToString(token)
	if id == "" {
		c.serial++
		id = fmt.Sprintf("00000000-0000-4000-8000-%012x", c.serial)
	}
	s.values, s.versions = append(s.values, aws.ToString(value)), append(s.versions, id)
	return id
}

func (c *Cloud) secret(name *string) (*secret, error) {
	for _, s := range c.secrets {
		if s.name == aws.ToString(name) || s.arn == aws.ToString(name) {
			return s, nil
		}
	}
	return nil, &types.ResourceNotFoundException{Message: aws.String("Secrets Manager can't find the specified secret.")}
}

// CreateSecret implements the SDK's method; without a value the secret is empty.
func (m SecretsManager) CreateSecret(ctx ctx, in *secretsmanager.CreateSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error) {
	return call(ctx, m.c, secretsID, "CreateSecret", write, in, func(in *secretsmanager.CreateSecretInput) (*secretsmanager.CreateSecretOutput, error) {
		name := aws.ToString(in.Name)
		if m.c.secrets[name] != nil {
			return nil, &types.ResourceExistsException{Message: aws.String("The operation failed because the secret " + name + " already exists.")}
		}
		s := &secret{name: name, arn: m.c.arn("secretsmanager", "secret:%s-fake00", name), tags: tags{}}
		for _, t := range in.Tags {
			s.tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		out := &secretsmanager.CreateSecretOutput{Name: aws.String(name), ARN: aws.String(s.arn)}
		if in.SecretString != nil {
			out.VersionId = aws.String(s.put(m.c, in.ClientRequestToken, in.SecretString))
		}
		m.c.secrets[name] = s
		return out, nil
	})
}

// DescribeSecret implements the SDK's method.
func (m SecretsManager) DescribeSecret(ctx ctx, in *secretsmanager.DescribeSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	return call(ctx, m.c, secretsID, "DescribeSecret", exact, in, func(in *secretsmanager.DescribeSecretInput) (*secretsmanager.DescribeSecretOutput, error) {
		s, err := m.c.secret(in.SecretId)
		if err != nil {
			return nil, err
		}
		out := &secretsmanager.DescribeSecretOutput{Name: aws.String(s.name), ARN: aws.String(s.arn)}
		if n := len(s.versions); n > 0 {
			out.VersionIdsToStages = map[string][]string{s.versions[n-1]: {"AWSCURRENT"}}
		}
		for _, t := range s.tags.list() {
			out.Tags = append(out.Tags, types.Tag{Key: t.Key, Value: t.Value})
		}
		return out, nil
	})
}

// GetSecretValue implements the SDK's method.
func (m SecretsManager) GetSecretValue(ctx ctx, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	return call(ctx, m.c, secretsID, "GetSecretValue", exact, in, func(in *secretsmanager.GetSecretValueInput) (*secretsmanager.GetSecretValueOutput, error) {
		s, err := m.c.secret(in.SecretId)
		if err != nil {
			return nil, err
		}
		n := len(s.values)
		if n == 0 {
			return nil, &types.ResourceNotFoundException{Message: aws.String("Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")}
		}
		return &secretsmanager.GetSecretValueOutput{Name: aws.String(s.name), ARN: aws.String(s.arn), SecretString: aws.String(s.values[n-1]),
			VersionId: aws.String(s.versions[n-1]), VersionStages: []string{"AWSCURRENT"}}, nil
	})
}

// PutSecretValue implements the SDK's method.
func (m SecretsManager) PutSecretValue(ctx ctx, in *secretsmanager.PutSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error) {
	return call(ctx, m.c, secretsID, "PutSecretValue", write, in, func(in *secretsmanager.PutSecretValueInput) (*secretsmanager.PutSecretValueOutput, error) {
		s, err := m.c.secret(in.SecretId)
		if err != nil {
			return nil, err
		}
		id := s.put(m.c, in.ClientRequestToken, in.SecretString)
		return &secretsmanager.PutSecretValueOutput{Name: aws.String(s.name), ARN: aws.String(s.arn), VersionId: aws.String(id), VersionStages: []string{"AWSCURRENT"}}, nil
	})
}

// DeleteSecret implements the SDK's method, as with ForceDeleteWithoutRecovery.
func (m SecretsManager) DeleteSecret(ctx ctx, in *secretsmanager.DeleteSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.DeleteSecretOutput, error) {
	return call(ctx, m.c, secretsID, "DeleteSecret", write, in, func(in *secretsmanager.DeleteSecretInput) (*secretsmanager.DeleteSecretOutput, error) {
		s, err := m.c.secret(in.SecretId)
		if err != nil {
			return nil, err
		}
		delete(m.c.secrets, s.name)
		return &secretsmanager.DeleteSecretOutput{Name: aws.String(s.name), ARN: aws.String(s.arn)}, nil
	})
}
