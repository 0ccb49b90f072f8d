package awsfake

import (
	"fmt"
	"slices"

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
	versions  []*secretVersion // in the order in which they were put
	tags      tags
}

type secretVersion struct {
	id, value string
	labels    []string
}

const (
	current, previous = "AWSCURRENT", "AWSPREVIOUS"
	secretLabels      = 20 // on all versions of a secret together
)

// put makes a version, or finds the one that was made with the same token.
func (s *secret) put(c *Cloud, token, value *string, labels []string) (*secretVersion, error) {
	id := aws.ToString(token)
	if id == "" {
		c.serial++
		id = fmt.Sprintf("00000000-0000-4000-8000-%012x", c.serial)
	}
	if len(id) < 32 || len(id) > 64 {
		return nil, &types.InvalidParameterException{Message: aws.String("ClientRequestToken must be 32-64 characters long.")}
	}
	if v := s.version(id); v != nil {
		if v.value == aws.ToString(value) {
			return v, nil
		}
		return nil, &types.ResourceExistsException{Message: aws.String("You can't use ClientRequestToken " + id + " because that value is already in use for a version of secret " + s.arn + ".")}
	}
	labels = slices.Clone(labels)
	if len(labels) == 0 || len(s.versions) == 0 && !slices.Contains(labels, current) {
		labels = append(labels, current)
	}
	v := &secretVersion{id: id, value: aws.ToString(value)}
	if s.count(labels...) > secretLabels {
		return nil, &types.LimitExceededException{Message: aws.String("You have exceeded the number of staging labels of a secret.")}
	}
	s.versions = append(s.versions, v)
	for _, l := range labels {
		s.label(v, l)
	}
	return v, nil
}

// count is how many labels there are, with some more.
func (s *secret) count(more ...string) int {
	all := map[string]bool{}
	for _, l := range more {
		all[l] = true
	}
	for _, v := range s.versions {
		for _, l := range v.labels {
			all[l] = true
		}
	}
	return len(all)
}

// label moves a label to a version; what was current is the previous one then.
func (s *secret) label(to *secretVersion, label string) {
	from := s.labelled(label)
	if from == to {
		return
	}
	if from != nil {
		from.unlabel(label)
	}
	to.labels = append(to.labels, label)
	if label == current && from != nil {
		s.label(from, previous)
	}
}

func (v *secretVersion) unlabel(label string) {
	v.labels = slices.DeleteFunc(v.labels, func(l string) bool { return l == label })
}

func (s *secret) version(id string) *secretVersion {
	for _, v := range s.versions {
		if v.id == id {
			return v
		}
	}
	return nil
}

func (s *secret) labelled(label string) *secretVersion {
	for _, v := range s.versions {
		if slices.Contains(v.labels, label) {
			return v
		}
	}
	return nil
}

// ForgetSecretVersions deletes what AWS may delete at any time: versions that
// have no label.
func (c *Cloud) ForgetSecretVersions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.secrets {
		s.versions = slices.DeleteFunc(s.versions, func(v *secretVersion) bool { return len(v.labels) == 0 })
	}
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
			v, err := s.put(m.c, in.ClientRequestToken, in.SecretString, nil)
			if err != nil {
				return nil, err
			}
			out.VersionId = aws.String(v.id)
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
		for _, v := range s.versions {
			if len(v.labels) == 0 {
				continue // such are deprecated, and not told
			}
			if out.VersionIdsToStages == nil {
				out.VersionIdsToStages = map[string][]string{}
			}
			out.VersionIdsToStages[v.id] = slices.Clone(v.labels)
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
		v, err := s.asked(in)
		if err != nil {
			return nil, err
		}
		return &secretsmanager.GetSecretValueOutput{Name: aws.String(s.name), ARN: aws.String(s.arn), SecretString: aws.String(v.value),
			VersionId: aws.String(v.id), VersionStages: slices.Clone(v.labels)}, nil
	})
}

// asked is the version that a request for a value means.
func (s *secret) asked(in *secretsmanager.GetSecretValueInput) (*secretVersion, error) {
	missing := func(what, which string) error {
		return &types.ResourceNotFoundException{Message: aws.String("Secrets Manager can't find the specified secret value for " + what + ": " + which)}
	}
	label := aws.ToString(in.VersionStage)
	if id := aws.ToString(in.VersionId); id != "" {
		v := s.version(id)
		if v == nil {
			return nil, missing("VersionId", id)
		}
		if label != "" && !slices.Contains(v.labels, label) {
			return nil, &types.InvalidRequestException{Message: aws.String("You provided a VersionStage that is not associated to the provided VersionId.")}
		}
		return v, nil
	}
	if label == "" {
		label = current
	}
	if v := s.labelled(label); v != nil {
		return v, nil
	}
	return nil, missing("staging label", label)
}

// PutSecretValue implements the SDK's method.
func (m SecretsManager) PutSecretValue(ctx ctx, in *secretsmanager.PutSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error) {
	return call(ctx, m.c, secretsID, "PutSecretValue", write, in, func(in *secretsmanager.PutSecretValueInput) (*secretsmanager.PutSecretValueOutput, error) {
		s, err := m.c.secret(in.SecretId)
		if err != nil {
			return nil, err
		}
		v, err := s.put(m.c, in.ClientRequestToken, in.SecretString, in.VersionStages)
		if err != nil {
			return nil, err
		}
		return &secretsmanager.PutSecretValueOutput{Name: aws.String(s.name), ARN: aws.String(s.arn), VersionId: aws.String(v.id), VersionStages: slices.Clone(v.labels)}, nil
	})
}

// UpdateSecretVersionStage implements the SDK's method.
func (m SecretsManager) UpdateSecretVersionStage(ctx ctx, in *secretsmanager.UpdateSecretVersionStageInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.UpdateSecretVersionStageOutput, error) {
	return call(ctx, m.c, secretsID, "UpdateSecretVersionStage", write, in, func(in *secretsmanager.UpdateSecretVersionStageInput) (*secretsmanager.UpdateSecretVersionStageOutput, error) {
		s, err := m.c.secret(in.SecretId)
		if err != nil {
			return nil, err
		}
		if err := s.move(aws.ToString(in.VersionStage), aws.ToString(in.RemoveFromVersionId), aws.ToString(in.MoveToVersionId)); err != nil {
			return nil, err
		}
		return &secretsmanager.UpdateSecretVersionStageOutput{Name: aws.String(s.name), ARN: aws.String(s.arn)}, nil
	})
}

// move takes a label from one version and gives it to another; either may be "".
func (s *secret) move(label, from, to string) error {
	invalid := func(format string, args ...any) error {
		return &types.InvalidParameterException{Message: aws.String(fmt.Sprintf(format, args...))}
	}
	there := s.labelled(label)
	for _, id := range []string{from, to} {
		if id != "" && s.version(id) == nil {
			return invalid("Not a valid version: %s", id)
		}
	}
	switch {
	case from != "" && (there == nil || there.id != from):
		return invalid("Version stage %s not found in version %s", label, from)
	case from == "" && to == "":
		return invalid("You must specify a version to take label %s from, or to give it to.", label)
	case from == "" && there != nil && there.id != to:
		return invalid("The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", label, there.id)
	case to == "":
		there.unlabel(label)
	case there == nil && s.count(label) > secretLabels:
		return &types.LimitExceededException{Message: aws.String("You have exceeded the number of staging labels of a secret.")}
	default:
		s.label(s.version(to), label)
	}
	return nil
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
